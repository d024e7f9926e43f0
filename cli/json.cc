#include "cli/json.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "common/base/check.h"

namespace tarn::cli {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

// Bytes of the UTF-8 character that the text begins with; 0 when it begins with none.
size_t character_bytes(std::string_view text) {
  TARN_DCHECK(!text.empty());
  const auto first = static_cast<unsigned char>(text.front());
  if (first < 0x80) return 1;
  const size_t count = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  if (count == 0 || first > 0xf4 || text.size() < count) return 0;
  const auto rest = text.substr(1, count - 1);
  const bool whole =
      std::all_of(rest.begin(), rest.end(), [](char c) { return (c & 0xc0) == 0x80; });
  return whole ? count : 0;
}

void append_ascii(std::string& out, char c) {
  if (c == '"' || c == '\\') {
    out += '\\';
    out += c;
  } else if (c == '\n') {
    out += "\\n";
  } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
    std::array<char, 8> escape{};
    std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
    out += escape.data();
  } else {
    out += c;
  }
}

}  // namespace

std::string json_string(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t count = character_bytes(text);
    if (count == 1) {
      append_ascii(out, text.front());
    } else {
      out += count == 0 ? kReplacement : text.substr(0, count);
    }
    text.remove_prefix(std::max<size_t>(count, 1));
  }
  return out + "\"";
}

Json::Json(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6g", value);
  x_text = std::isfinite(value) ? text.data() : "null";
}

Json::Json(std::string_view value) : x_text(json_string(value)) {}

Json Json::array_of(const std::vector<std::string>& words) {
  Json all = array();
  for (const std::string& word : words)
    all.add(word);
  return all;
}

Json& Json::set(std::string key, Json value) {
  TARN_CHECK(x_kind == Kind::object);
  x_children.emplace_back(std::move(key), std::move(value));
  return *this;
}

Json& Json::add(Json value) {
  TARN_CHECK(x_kind == Kind::array);
  x_children.emplace_back(std::string(), std::move(value));
  return *this;
}

std::string Json::text() const {
  std::string out;
  write(out, 0);
  return out;
}

std::string Json::line() const {
  std::string out;
  write(out, std::nullopt);
  return out;
}

void Json::write(std::string& into, std::optional<size_t> indent) const {
  if (x_kind == Kind::scalar) {
    into += x_text;
    return;
  }
  const bool is_object = x_kind == Kind::object;
  const auto inner = indent ? std::optional(*indent + 2) : std::nullopt;
  const auto margin = [](std::optional<size_t> width) {
    return width ? "\n" + std::string(*width, ' ') : std::string();
  };
  into += is_object ? '{' : '[';
  const char* separator = "";
  for (const auto& [key, child] : x_children) {
    into += separator + margin(inner);
    if (is_object) into += json_string(key) + (indent ? ": " : ":");
    child.write(into, inner);
    separator = ",";
  }
  if (!x_children.empty()) into += margin(indent);
  into += is_object ? '}' : ']';
}

}  // namespace tarn::cli
