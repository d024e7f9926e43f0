#pragma once

#include <string>
#include <string_view>

#include <spdlog/spdlog.h>

#include "common/base/status.h"

namespace tarn::log {

// Sends the log of this process to stderr as "time level name thread] message". Levels: debug,
// info, warning, error. Call once, first thing in main. Returns: ok, invalid_argument for an
// unknown level.
Status start(std::string_view process_name, std::string_view level);

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

}  // namespace tarn::log
