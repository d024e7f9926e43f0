#include "common/config/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/base/units.h"

namespace tarn::config {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

// Powers of 1024 only, and by their full names: "4GB" means two things to two people.
constexpr std::array<Unit, 5> kSizeUnits = {
    {{"TiB", 1024 * kGiB}, {"GiB", kGiB}, {"MiB", kMiB}, {"KiB", kKiB}, {"B", 1}}};
constexpr std::array<Unit, 4> kDurationUnits = {
    {{"h", 3'600'000}, {"min", 60'000}, {"s", 1'000}, {"ms", 1}}};

// Decimal digits and nothing else.
std::optional<uint64_t> parse_digits(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

template <size_t N>
std::optional<uint64_t> parse_with_unit(std::string_view text, const std::array<Unit, N>& units) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::optional<uint64_t> number = parse_digits(text.substr(0, digits));
  std::string_view unit = text.substr(digits);
  unit.remove_prefix(std::min(unit.find_first_not_of(' '), unit.size()));
  if (!number) return std::nullopt;
  if (digits == text.size()) return number;
  for (const Unit& candidate : units) {
    uint64_t product = 0;
    if (candidate.name != unit) continue;
    if (__builtin_mul_overflow(*number, candidate.factor, &product)) return std::nullopt;
    return product;
  }
  return std::nullopt;
}

template <size_t N>
std::string format_with_unit(uint64_t number, const std::array<Unit, N>& units) {
  for (const Unit& unit : units) {
    const bool fits = number >= unit.factor && number % unit.factor == 0;
    if (fits) return std::to_string(number / unit.factor) + std::string(unit.name);
  }
  return std::to_string(number) + std::string(units.back().name);
}

std::string quoted(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

Status wrong(const Item& item, std::string_view text, std::string_view problem) {
  return invalid_argument(item.name + " = " + quoted(text) + " " + std::string(problem));
}

Result<Value> parse_number(const Item& item, std::string_view text) {
  std::optional<uint64_t> number;
  std::string_view problem;
  if (item.kind == Kind::bytes) {
    number = parse_with_unit(text, kSizeUnits);
    problem = "is not a size: write a whole number and B, KiB, MiB, GiB or TiB, such as 4GiB";
  } else if (item.kind == Kind::duration) {
    number = parse_with_unit(text, kDurationUnits);
    problem = "is not a duration: write a whole number and ms, s, min or h, such as 200ms";
  } else {
    number = parse_digits(text);
    problem = "is not a whole number from 0";
  }
  if (!number) return wrong(item, text, problem);
  return in_range(item, *number);
}

Result<Value> parse_boolean(const Item& item, std::string_view text) {
  if (text == "true") return Value(true);
  if (text == "false") return Value(false);
  return wrong(item, text, "is neither true nor false");
}

Result<Value> parse_choice(const Item& item, std::string_view text) {
  const std::string word(text);
  if (std::find(item.choices.begin(), item.choices.end(), word) != item.choices.end()) {
    return Value(word);
  }
  const std::string meant = nearest(text, item.choices);
  return wrong(item, text,
               "is not one of " + join(item.choices, ", ") +
                   (meant.empty() ? "" : " (did you mean " + meant + "?)"));
}

// The bytes of the character of UTF-8 that `text` begins with; 0 when it begins with none. Shortest
// forms only, no surrogates, up to U+10FFFF (RFC 3629).
size_t character_bytes(std::string_view text) {
  const auto at = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = at(0);
  if (lead < 0x80) return 1;
  const size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  const bool is_wrong = (lead == 0xe0 && at(1) < 0xa0) || (lead == 0xed && at(1) > 0x9f) ||
                        (lead == 0xf0 && at(1) < 0x90) || (lead == 0xf4 && at(1) > 0x8f);
  return is_wrong ? 0 : size;
}

// A TOML file holds nothing else, so what could not be printed and read back is refused at once.
Result<Value> utf8(const Item& item, std::string_view text, Value value) {
  if (is_utf8(text)) return value;
  return invalid_argument(item.name + " is not written in UTF-8");
}

std::vector<std::string> split_at_commas(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

std::string toml_string(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

// Edits between two words: insert, delete, replace, or swap of neighbours.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i)
    d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j)
    d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, replace});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

Result<Value> parse(const Item& item, std::string_view text) {
  switch (item.kind) {
    case Kind::text:
      return utf8(item, text, std::string(text));
    case Kind::bytes:
    case Kind::number:
    case Kind::duration:
      return parse_number(item, text);
    case Kind::boolean:
      return parse_boolean(item, text);
    case Kind::list:
      return utf8(item, text, split_at_commas(text));
    case Kind::choice:
      return parse_choice(item, text);
  }
  return internal_error(item.name + " is of no known kind");
}

Result<Value> in_range(const Item& item, uint64_t number) {
  if (item.range.holds(number)) return Value(number);
  std::string allowed = item.limits();
  if (allowed.empty()) allowed = "at most " + format(item, item.range.max);
  return invalid_argument(item.name + " = " + format(item, number) + " is out of range (" +
                          allowed + ")");
}

std::string format(const Item& item, uint64_t number) {
  if (item.kind == Kind::bytes) return format_with_unit(number, kSizeUnits);
  if (item.kind == Kind::duration) return format_with_unit(number, kDurationUnits);
  return std::to_string(number);
}

std::string to_toml(const Item& item, const Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<uint64_t>(&value)) {
    const std::string text = format(item, *number);
    return item.kind == Kind::number ? text : toml_string(text);
  }
  if (const auto* words = std::get_if<std::vector<std::string>>(&value)) {
    std::vector<std::string> strings;
    for (const std::string& word : *words)
      strings.push_back(toml_string(word));
    return "[" + join(strings, ", ") + "]";
  }
  TARN_CHECK(std::holds_alternative<std::string>(value));
  return toml_string(std::get<std::string>(value));
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t size = character_bytes(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

std::string join(const std::vector<std::string>& words, std::string_view separator) {
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += separator;
    out += word;
  }
  return out;
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  // Longer than any name of ours: not worth the table.
  if (word.size() > kNameBytesMax) return "";
  std::string best;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const size_t edits = distance(word, candidate);
    if (edits < best_distance) {
      best_distance = edits;
      best = candidate;
    }
  }
  return best;
}

}  // namespace tarn::config
