#include "common/config/values.h"

#include <utility>

#include "common/base/check.h"
#include "common/config/text.h"

namespace tarn::config {
namespace {

// Lines of a TOML comment. A path may hold what a comment may not.
std::string comment(std::string_view text) {
  const bool is_text = is_utf8(text);
  std::string out = "# ";
  for (char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    const bool is_control = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f;
    out += is_control || (byte >= 0x80 && !is_text) ? '?' : c;
    if (c == '\n') out += "# ";
  }
  return out + "\n";
}

}  // namespace

Values::Values(Schema schema) : x_schema(std::move(schema)) {
  for (const Item& item : x_schema.items())
    x_settings.push_back({item.initial, "the default"});
}

const Setting& Values::setting(std::string_view name, Kind kind) const {
  const auto index = x_schema.index_of(name);
  TARN_CHECK(index.has_value());
  TARN_CHECK(x_schema.items()[*index].kind == kind);
  return x_settings[*index];
}

const std::string& Values::get_string(std::string_view name) const {
  return std::get<std::string>(setting(name, Kind::text).value);
}

uint64_t Values::get_bytes(std::string_view name) const {
  return std::get<uint64_t>(setting(name, Kind::bytes).value);
}

uint64_t Values::get_uint(std::string_view name) const {
  return std::get<uint64_t>(setting(name, Kind::number).value);
}

bool Values::get_bool(std::string_view name) const {
  return std::get<bool>(setting(name, Kind::boolean).value);
}

Millis Values::get_duration_ms(std::string_view name) const {
  return Millis(static_cast<int64_t>(std::get<uint64_t>(setting(name, Kind::duration).value)));
}

const std::vector<std::string>& Values::get_list(std::string_view name) const {
  return std::get<std::vector<std::string>>(setting(name, Kind::list).value);
}

const std::string& Values::get_enum(std::string_view name) const {
  return std::get<std::string>(setting(name, Kind::choice).value);
}

const std::string& Values::origin(std::string_view name) const {
  const auto index = x_schema.index_of(name);
  TARN_CHECK(index.has_value());
  return x_settings[*index].origin;
}

Status Values::refuse(std::string_view name, std::string_view problem) const {
  const auto index = x_schema.index_of(name);
  TARN_CHECK(index.has_value());
  const Setting& at = x_settings[*index];
  return invalid_argument(at.origin + ": " + std::string(name) + " = " +
                          config::to_toml(x_schema.items()[*index], at.value) + ": " +
                          std::string(problem));
}

std::string Values::to_toml() const {
  std::string out =
      comment(x_schema.program() + " " + std::string(version()) + ": the configuration in effect.");
  for (size_t i = 0; i < x_settings.size(); ++i) {
    const Item& item = x_schema.items()[i];
    out += "\n" + comment(item.doc);
    if (const std::string limits = item.limits(); !limits.empty()) {
      out += comment("Allowed: " + limits + ". Default: " + config::to_toml(item, item.initial));
    } else {
      out += comment("Default: " + config::to_toml(item, item.initial));
    }
    out += comment("Set by " + x_settings[i].origin + ".");
    out += item.name + " = " + config::to_toml(item, x_settings[i].value) + "\n";
  }
  return out;
}

void Values::set(size_t index, Setting setting) {
  TARN_CHECK(index < x_settings.size());
  TARN_CHECK(setting.value.index() == x_settings[index].value.index());
  x_settings[index] = std::move(setting);
}

void Values::finish(std::string output, std::vector<std::string> warnings) {
  x_output = std::move(output);
  x_warnings = std::move(warnings);
}

}  // namespace tarn::config
