#pragma once

#include <type_traits>
#include <utility>
#include <variant>

#include "common/base/check.h"
#include "common/base/status.h"

namespace tarn {

// A value, or the Status that says why there is none. Member names are a subset of std::expected's.
// Reading the value of a failed result is a programming error and ends the process.
template <typename T>
class [[nodiscard]] Result {
 public:
  // Implicit on purpose: `return value;` and `return status;` both read well.
  Result(T value) : x_state(std::in_place_index<0>, std::move(value)) {}
  Result(Status error) : x_state(std::in_place_index<1>, std::move(error)) {
    TARN_CHECK(!std::get<1>(x_state).is_ok());
  }

  bool has_value() const { return x_state.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & {
    TARN_CHECK(has_value());
    return std::get<0>(x_state);
  }
  const T& value() const& {
    TARN_CHECK(has_value());
    return std::get<0>(x_state);
  }
  T&& value() && {
    TARN_CHECK(has_value());
    return std::get<0>(std::move(x_state));
  }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  template <typename U>
  T value_or(U&& other) const& {
    return has_value() ? value() : static_cast<T>(std::forward<U>(other));
  }

  // Precondition: !has_value().
  const Status& error() const {
    TARN_CHECK(!has_value());
    return std::get<1>(x_state);
  }

  // ok, or the error.
  Status status() const { return has_value() ? Status::ok() : std::get<1>(x_state); }

 private:
  std::variant<T, Status> x_state;
};

}  // namespace tarn

#define TARN_CONCAT_INNER(a, b) a##b
#define TARN_CONCAT(a, b) TARN_CONCAT_INNER(a, b)

// TARN_ASSIGN_OR_RETURN(auto x, f()): declares x with the value of f(), or returns its error from
// the calling function.
#define TARN_ASSIGN_OR_RETURN(declaration, expression) \
  TARN_ASSIGN_OR_RETURN_IMPL(TARN_CONCAT(tarn_result_, __LINE__), declaration, expression)
// NOLINTBEGIN(bugprone-macro-parentheses): what is declared cannot stand in parentheses.
#define TARN_ASSIGN_OR_RETURN_IMPL(result, declaration, expression) \
  auto result = (expression);                                       \
  if (!result.has_value()) return result.error();                   \
  declaration = std::move(result).value()
// NOLINTEND(bugprone-macro-parentheses)
