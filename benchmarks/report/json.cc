#include "benchmarks/report/json.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>

namespace tarn::report {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
      out += escape.data();
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string indented(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out += c;
    if (c == '\n') out += "  ";
  }
  return out;
}

}  // namespace

JsonObject& JsonObject::add_raw(std::string_view name, std::string_view value) {
  if (!x_fields.empty()) x_fields += ",";
  x_fields += "\n  " + quoted(name) + ": " + std::string(value);
  return *this;
}

JsonObject& JsonObject::add(std::string_view name, std::string_view value) {
  return add_raw(name, quoted(value));
}

JsonObject& JsonObject::add(std::string_view name, uint64_t value) {
  return add_raw(name, std::to_string(value));
}

JsonObject& JsonObject::add(std::string_view name, bool value) {
  return add_raw(name, value ? "true" : "false");
}

JsonObject& JsonObject::add(std::string_view name, double value) {
  if (!std::isfinite(value)) return add_raw(name, "null");
  std::array<char, 32> digits{};
  std::snprintf(digits.data(), digits.size(), "%.6g", value);
  return add_raw(name, digits.data());
}

JsonObject& JsonObject::add(std::string_view name, const JsonObject& value) {
  return add_raw(name, indented(value.text()));
}

std::string JsonObject::text() const {
  return x_fields.empty() ? "{}" : "{" + x_fields + "\n}";
}

JsonObject json_of(const Figures& figures) {
  JsonObject object;
  object.add("gb_per_s", figures.gb_per_s)
      .add("p50_us", figures.p50_us)
      .add("p99_us", figures.p99_us)
      .add("cpu_s_per_gb", figures.cpu_s_per_gb);
  return object;
}

JsonObject json_of_ratio(const Figures& ratio) {
  JsonObject object;
  object.add("gb_per_s", ratio.gb_per_s)
      .add("p50", ratio.p50_us)
      .add("p99", ratio.p99_us)
      .add("cpu", ratio.cpu_s_per_gb);
  return object;
}

bool write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  return static_cast<bool>(file);
}

}  // namespace tarn::report
