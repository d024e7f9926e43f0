#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include <spdlog/spdlog.h>

#include "common/base/status.h"

namespace tarn::log {

// Sends the log of this process to stderr as "time level name thread] message". Levels: debug,
// info, warning, error. Call once, first thing in main. Returns: ok, invalid_argument for an
// unknown level.
Status start(std::string_view process_name, std::string_view level);

// Where the log goes. A process that has not called start(), as one that uses the SDK, gets
// warnings and errors on stderr: nothing of ours on its stdout, nor in a logger of its own.
spdlog::logger& logger();
// Returns the one before. Thread-safe; lines that are being written may still go there.
std::shared_ptr<spdlog::logger> set_logger(std::shared_ptr<spdlog::logger> next);

template <typename... Args>
void debug(spdlog::format_string_t<Args...> format, Args&&... args) {
  logger().debug(format, std::forward<Args>(args)...);
}

template <typename... Args>
void info(spdlog::format_string_t<Args...> format, Args&&... args) {
  logger().info(format, std::forward<Args>(args)...);
}

template <typename... Args>
void warn(spdlog::format_string_t<Args...> format, Args&&... args) {
  logger().warn(format, std::forward<Args>(args)...);
}

template <typename... Args>
void error(spdlog::format_string_t<Args...> format, Args&&... args) {
  logger().error(format, std::forward<Args>(args)...);
}

}  // namespace tarn::log
