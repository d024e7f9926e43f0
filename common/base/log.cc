#include "common/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>

namespace tarn::log {

Status start(std::string_view process_name, std::string_view level) {
  const std::string name(level == "warn" ? "warning" : level);
  const auto parsed = spdlog::level::from_str(name);
  if (parsed == spdlog::level::off && name != "off") {
    return invalid_argument("log level '" + name + "': use debug, info, warning, error or off");
  }
  auto logger = spdlog::get(std::string(process_name));
  if (!logger) logger = spdlog::stderr_logger_mt(std::string(process_name));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %n %t] %v", spdlog::pattern_time_type::utc);
  logger->set_level(parsed);
  logger->flush_on(spdlog::level::warn);
  spdlog::set_default_logger(logger);
  return Status::ok();
}

}  // namespace tarn::log
