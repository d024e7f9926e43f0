#pragma once

// How calls of Tarn end. A part of tarn/tarn.h: include that.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace tarn {

// What became of a call or of one block. Grouped by what to do next.
enum class Outcome : uint8_t {
  ok = 0,
  // Nothing is wrong: use what you have, or recompute.
  miss = 1,       // no such block, session or name
  exists = 2,     // the bytes, or the name, were already there; for a put this is success
  kept_less = 3,  // kept, in a lower class than asked, as CallOptions::allow_less permits
  conflict = 5,   // the session has another version than expected: look again and decide
  // Try later; the SDK has already tried what it could within the deadline.
  unavailable = 7,
  overloaded = 8,
  deadline_exceeded = 9,
  cancelled = 10,
  corrupt = 11,  // the bytes failed their checksum: treat as a miss
  // Mend the program, the credentials or the configuration.
  invalid_argument = 12,
  unauthenticated = 13,
  permission_denied = 14,
  unsupported = 15,
  internal = 16,  // page a human
};

// "ok", "miss", "deadline_exceeded", ...
std::string_view outcome_name(Outcome outcome);

// Why a call failed: what to do, and a sentence that names the field, session or peer.
struct Error {
  Outcome outcome = Outcome::internal;
  std::string message;
};

// A value, or the Error that says why there is none; a subset of std::expected. Reading the value
// of a failed one ends the process: ask first.
template <typename T>
class [[nodiscard]] Expected {
 public:
  Expected(T value) : x_state(std::in_place_index<0>, std::move(value)) {}
  Expected(Error error) : x_state(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const { return x_state.index() == 0; }
  explicit operator bool() const { return has_value(); }
  T& value() & { return *checked(); }
  const T& value() const& { return *const_cast<Expected*>(this)->checked(); }
  T&& value() && { return std::move(*checked()); }
  T& operator*() & { return *checked(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return checked(); }
  const Error& error() const { return std::get<1>(x_state); }

 private:
  T* checked() {
    if (!has_value()) __builtin_trap();
    return &std::get<0>(x_state);
  }
  std::variant<T, Error> x_state;
};

struct Done {};  // success of a call that returns nothing else

}  // namespace tarn
