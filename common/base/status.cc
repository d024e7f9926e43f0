#include "common/base/status.h"

#include <array>

namespace tarn {
namespace {

constexpr std::array<std::string_view, kCodeCount> kNames = {
    "ok",          "not_found",   "exists",           "kept_less",       "extent_full",
    "conflict",    "stale_epoch", "unavailable",      "overloaded",      "deadline_exceeded",
    "cancelled",   "corrupt",     "invalid_argument", "unauthenticated", "permission_denied",
    "unsupported", "internal"};

}  // namespace

std::string_view code_name(Code code) {
  const auto index = static_cast<size_t>(code);
  return index < kNames.size() ? kNames[index] : "unknown";
}

bool is_retryable(Code code) {
  return code == Code::unavailable || code == Code::overloaded || code == Code::stale_epoch ||
         code == Code::corrupt;
}

std::string Status::to_string() const {
  std::string text(code_name(x_code));
  if (!x_message.empty()) text += ": " + x_message;
  return text;
}

}  // namespace tarn
