#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace tarn {

// Each code answers one question of the caller: what should I do now? The numbers travel on the
// wire and never change.
enum class Code : uint8_t {
  ok = 0,
  // Use what you have, or recompute; nothing is wrong.
  not_found = 1,    // a miss, or a name that does not exist
  exists = 2,       // the bytes, or the name, were already there
  kept_less = 3,    // kept, in a lower class than asked, and the caller allowed it
  extent_full = 4,  // start a new extent with the block's own hash as anchor
  // Refresh your view and try again.
  conflict = 5,     // compare-and-swap lost: read the version, decide, retry
  stale_epoch = 6,  // your config is old (or the server's is): refresh it
  // Try another owner, or later.
  unavailable = 7,
  overloaded = 8,
  deadline_exceeded = 9,
  cancelled = 10,
  corrupt = 11,  // the bytes did not pass their checksum: for a get this is a miss
  // Mend the program, the credentials or the configuration.
  invalid_argument = 12,
  unauthenticated = 13,
  permission_denied = 14,
  unsupported = 15,
  // Page a human.
  internal = 16,
};

inline constexpr int kCodeCount = 17;

// The code's name as it stands in the enum ("not_found"); "unknown" for a number that is none.
std::string_view code_name(Code code);

// True for codes after which another owner, or the same one a moment later, may succeed.
bool is_retryable(Code code);

// The outcome of an operation that returns nothing else: a code and, when it is not ok, a sentence
// that names the field or the peer and what to do. Immutable value type.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : x_code(code), x_message(std::move(message)) {}

  static Status ok() { return {}; }

  bool is_ok() const { return x_code == Code::ok; }
  Code code() const { return x_code; }
  const std::string& message() const { return x_message; }

  // "not_found: no session s-1"
  std::string to_string() const;

  friend bool operator==(const Status& a, const Status& b) = default;

 private:
  Code x_code = Code::ok;
  std::string x_message;
};

inline Status not_found(std::string m) {
  return {Code::not_found, std::move(m)};
}
inline Status already_exists(std::string m) {
  return {Code::exists, std::move(m)};
}
inline Status conflict(std::string m) {
  return {Code::conflict, std::move(m)};
}
inline Status stale_epoch(std::string m) {
  return {Code::stale_epoch, std::move(m)};
}
inline Status unavailable(std::string m) {
  return {Code::unavailable, std::move(m)};
}
inline Status overloaded(std::string m) {
  return {Code::overloaded, std::move(m)};
}
inline Status deadline_exceeded(std::string m) {
  return {Code::deadline_exceeded, std::move(m)};
}
inline Status cancelled(std::string m) {
  return {Code::cancelled, std::move(m)};
}
inline Status corrupt(std::string m) {
  return {Code::corrupt, std::move(m)};
}
inline Status invalid_argument(std::string m) {
  return {Code::invalid_argument, std::move(m)};
}
inline Status unauthenticated(std::string m) {
  return {Code::unauthenticated, std::move(m)};
}
inline Status permission_denied(std::string m) {
  return {Code::permission_denied, std::move(m)};
}
inline Status unsupported(std::string m) {
  return {Code::unsupported, std::move(m)};
}
inline Status internal_error(std::string m) {
  return {Code::internal, std::move(m)};
}

}  // namespace tarn

// Returns the status of `expression` from the calling function when it is not ok.
#define TARN_RETURN_IF_ERROR(expression)                                                        \
  do {                                                                                          \
    if (::tarn::Status tarn_status_ = (expression); !tarn_status_.is_ok()) return tarn_status_; \
  } while (false)
