#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tarn::cli {

// A JSON value that a command answers with; keys stay in the order in which they were set.
// A plain value.
class Json {
 public:
  Json() : x_text("null") {}
  Json(std::same_as<bool> auto value) : x_text(value ? "true" : "false") {}
  Json(std::integral auto value) requires(!std::same_as<decltype(value), bool>)
      : x_text(std::to_string(value)) {}
  Json(double value);
  Json(std::string_view value);
  Json(const std::string& value) : Json(std::string_view(value)) {}
  Json(const char* value) : Json(std::string_view(value)) {}

  static Json object() { return Json(Kind::object); }
  static Json array() { return Json(Kind::array); }
  static Json array_of(const std::vector<std::string>& words);

  // For an object: sets what no earlier call has set.
  Json& set(std::string key, Json value);
  // For an array.
  Json& add(Json value);

  // Indented by two spaces, without a newline at the end.
  std::string text() const;
  // The same in one line.
  std::string line() const;

 private:
  enum class Kind : uint8_t { scalar, object, array };

  explicit Json(Kind kind) : x_kind(kind) {}
  // Without `indent`, in one line.
  void write(std::string& into, std::optional<size_t> indent) const;

  Kind x_kind = Kind::scalar;
  std::string x_text;  // of a scalar
  std::vector<std::pair<std::string, Json>> x_children;
};

// A string as JSON writes it, with its quotes; bytes that are no UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

}  // namespace tarn::cli
