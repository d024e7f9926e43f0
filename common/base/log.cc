#include "common/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <string>
#include <vector>

#include "common/base/mutex.h"

namespace tarn::log {
namespace {

// Loggers are few and never go: a thread may be writing a line to one that was replaced.
struct Loggers {
  Mutex mutex;
  std::vector<std::shared_ptr<spdlog::logger>> all TARN_GUARDED_BY(mutex);
  std::atomic<spdlog::logger*> current;

  Loggers() : all{make("tarn", spdlog::level::warn)}, current(all.back().get()) {}

  static std::shared_ptr<spdlog::logger> make(std::string name, spdlog::level::level_enum level) {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    auto logger = std::make_shared<spdlog::logger>(std::move(name), std::move(sink));
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %n %t] %v", spdlog::pattern_time_type::utc);
    logger->set_level(level);
    logger->flush_on(spdlog::level::warn);
    return logger;
  }
};

// Lives as long as the process: threads of the SDK log until its very end.
Loggers& loggers() {
  static auto* const loggers = std::make_unique<Loggers>().release();
  return *loggers;
}

}  // namespace

spdlog::logger& logger() {
  return *loggers().current.load(std::memory_order_acquire);
}

std::shared_ptr<spdlog::logger> set_logger(std::shared_ptr<spdlog::logger> next) {
  Loggers& known = loggers();
  const MutexLock lock(known.mutex);
  spdlog::logger* const before = known.current.exchange(next.get(), std::memory_order_acq_rel);
  known.all.push_back(std::move(next));
  for (const auto& each : known.all)
    if (each.get() == before) return each;
  return known.all.front();
}

Status start(std::string_view process_name, std::string_view level) {
  const std::string name(level == "warn" ? "warning" : level);
  const auto parsed = spdlog::level::from_str(name);
  if (parsed == spdlog::level::off && name != "off") {
    return invalid_argument("log level '" + name + "': use debug, info, warning, error or off");
  }
  set_logger(Loggers::make(std::string(process_name), parsed));
  return Status::ok();
}

}  // namespace tarn::log
