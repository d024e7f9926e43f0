#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "benchmarks/report/slice.h"

namespace tarn::report {

// A JSON object that is written from its first field to its last, two spaces to a level. Names are
// not checked for being used twice.
class JsonObject {
 public:
  JsonObject& add(std::string_view name, std::string_view value);
  JsonObject& add(std::string_view name, const char* value) {
    return add(name, std::string_view(value));
  }
  JsonObject& add(std::string_view name, uint64_t value);
  JsonObject& add(std::string_view name, bool value);
  // Six significant digits; what is no number becomes null.
  JsonObject& add(std::string_view name, double value);
  JsonObject& add(std::string_view name, const JsonObject& value);

  // Without a newline at its end.
  std::string text() const;

 private:
  JsonObject& add_raw(std::string_view name, std::string_view value);
  std::string x_fields;
};

// {gb_per_s, p50_us, p99_us, cpu_s_per_gb}
JsonObject json_of(const Figures& figures);
// {gb_per_s, p50, p99, cpu}: without units
JsonObject json_of_ratio(const Figures& ratio);

// Returns false when the file cannot be written whole.
[[nodiscard]] bool write_file(const std::string& path, const std::string& text);

}  // namespace tarn::report
