#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/config/schema.h"

namespace tarn::config {

// One item's value in effect and who said it: "the default", "server.toml:3",
// "TARN_SERVER_LISTEN", "--listen".
struct Setting {
  Value value;
  std::string origin;
};

// The values in effect of all items of a Schema. A program copies them into a struct of its own.
// Immutable after load(); the getters may be called from any thread.
// A getter's name must be that of an item declared with the matching add_ function: anything else
// is a mistake in the program and ends the process.
class Values {
 public:
  // Every item at its default.
  explicit Values(Schema schema);

  const std::string& get_string(std::string_view name) const;
  uint64_t get_bytes(std::string_view name) const;
  uint64_t get_uint(std::string_view name) const;
  bool get_bool(std::string_view name) const;
  Millis get_duration_ms(std::string_view name) const;
  const std::vector<std::string>& get_list(std::string_view name) const;
  const std::string& get_enum(std::string_view name) const;

  // Who set the item: "the default", "server.toml:3", "TARN_SERVER_LISTEN" or "--listen".
  const std::string& origin(std::string_view name) const;

  // The error for a value that the program itself cannot accept, told as load() tells its own:
  // "server.toml:3: listen = "x": no port".
  Status refuse(std::string_view name, std::string_view problem) const;

  // The whole configuration as a TOML file that load() reads back to the same values, each item
  // with its documentation and origin.
  std::string to_toml() const;

  // What --help, --version or --print-config asked for: print it and leave with 0. Else empty.
  const std::string& output() const { return x_output; }

  // Sentences for the log: nothing that stops the program, but probably not meant.
  const std::vector<std::string>& warnings() const { return x_warnings; }

  // For load() only.
  void set(size_t index, Setting setting);
  void finish(std::string output, std::vector<std::string> warnings);

 private:
  const Setting& setting(std::string_view name, Kind kind) const;

  Schema x_schema;
  std::vector<Setting> x_settings;
  std::string x_output;
  std::vector<std::string> x_warnings;
};

}  // namespace tarn::config
