#include "cli/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <utility>

#include "common/base/check.h"
#include "common/base/ids.h"
#include "common/base/units.h"
#include "common/config/text.h"

namespace tarn::cli {
namespace {

constexpr int64_t kSecondMs = 1000;
constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kDayMs = 24 * kHourMs;

std::string scaled(double value, const char* unit) {
  std::array<char, 48> text{};
  const bool is_whole = value >= 10 || value == static_cast<double>(static_cast<int64_t>(value));
  std::snprintf(text.data(), text.size(), is_whole ? "%.0f %s" : "%.1f %s", value, unit);
  return text.data();
}

Status wrong(std::string_view flag, std::string_view text, const std::string& problem) {
  return invalid_argument(std::string(flag) + " = \"" + std::string(text) + "\" " + problem);
}

// The parser of config files says what is wrong as it does for them.
Result<uint64_t> parse_number(std::string_view flag, std::string_view text, config::Kind kind) {
  config::Item item;
  item.name = flag;
  item.kind = kind;
  TARN_ASSIGN_OR_RETURN(const config::Value value, config::parse(item, text));
  return std::get<uint64_t>(value);
}

}  // namespace

Table::Table(std::vector<std::string> titles) {
  TARN_CHECK(!titles.empty());
  x_rows.push_back(std::move(titles));
}

void Table::add(std::vector<std::string> cells) {
  TARN_CHECK(cells.size() == x_rows.front().size());
  x_rows.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<size_t> widths(x_rows.front().size());
  for (const auto& row : x_rows)
    for (size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], row[i].size());
  std::string out;
  for (const auto& row : x_rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      line.append(widths[i] - row[i].size() + 2, ' ');
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

std::string format_bytes(uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit)
    value /= 1024;
  return scaled(value, kUnits[unit]);
}

std::string format_duration(int64_t ms) {
  const auto value = static_cast<double>(ms);
  if (ms < kSecondMs) return std::to_string(ms) + " ms";
  if (ms < 120 * kSecondMs) return scaled(value / kSecondMs, "s");
  if (ms < 2 * kHourMs) return scaled(value / (60 * kSecondMs), "min");
  if (ms < 2 * kDayMs) return scaled(value / kHourMs, "h");
  return scaled(value / kDayMs, "d");
}

Result<uint64_t> parse_bytes(std::string_view flag, std::string_view text) {
  return parse_number(flag, text, config::Kind::bytes);
}

Result<int64_t> parse_ttl(std::string_view flag, std::string_view text, int64_t days_max) {
  TARN_CHECK(days_max > 0);
  uint64_t ms = 0;
  if (text.ends_with('d')) {
    const std::string_view digits = text.substr(0, text.size() - 1);
    uint64_t days = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), days);
    if (error != std::errc() || end != digits.data() + digits.size()) {
      return wrong(flag, text, "is not a number of days");
    }
    ms = std::min<uint64_t>(days, 1'000'000) * kDayMs;
  } else {
    const auto parsed = parse_number(flag, text, config::Kind::duration);
    if (!parsed) {
      return wrong(flag, text, "is not a time: write a number and s, min, h or d, such as 12h");
    }
    ms = *parsed;
  }
  if (ms < kSecondMs || ms > static_cast<uint64_t>(days_max * kDayMs)) {
    return wrong(flag, text, "is not between 1s and " + std::to_string(days_max) + "d");
  }
  return static_cast<int64_t>(ms);
}

Result<HostPort> parse_host_port(std::string_view flag, std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong(flag, text, "is not HOST:PORT");
  HostPort found;
  const std::string_view digits = text.substr(colon + 1);
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), found.port);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
    return wrong(flag, text, "has no port: write a number from 0 to 65535 after the colon");
  }
  found.host = text.substr(0, colon);
  if (found.host.starts_with('[') && found.host.ends_with(']')) {
    found.host = found.host.substr(1, found.host.size() - 2);
  }
  return found;
}

Result<std::string> hash_from_hex(std::string_view text) {
  std::string bytes = from_hex(text);
  if (bytes.empty() || bytes.size() > kHashBytesMax) {
    return invalid_argument("\"" + std::string(text) +
                            "\" is not a block hash: write 2 to 64 hexadecimal digits, two a byte");
  }
  return bytes;
}

}  // namespace tarn::cli
