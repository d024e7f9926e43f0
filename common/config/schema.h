#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/clock.h"

namespace tarn::config {

// What an item holds, and so how its text is read and which getter gives it.
enum class Kind : uint8_t {
  text,      // any string
  bytes,     // a size: "4GiB", "512KiB", "4096"
  number,    // a whole number from 0
  boolean,   // true or false
  duration,  // "200ms", "2s"; a bare number is milliseconds
  list,      // strings: an array in the file, commas or repetition elsewhere
  choice,    // one of a few words
};

// text and choice; bytes, number and duration (in milliseconds); boolean; list.
using Value = std::variant<std::string, uint64_t, bool, std::vector<std::string>>;

// Inclusive. The default stops where a TOML integer does.
struct Range {
  uint64_t min = 0;
  uint64_t max = INT64_MAX;

  bool holds(uint64_t value) const { return min <= value && value <= max; }
};

// One thing that an operator can set.
struct Item {
  std::string name;  // as in the file: "dram_bytes"
  Kind kind = Kind::text;
  std::string doc;  // a sentence or two for the operator
  Value initial;    // in effect when nobody says otherwise
  Range range;      // for bytes, number and duration
  std::vector<std::string> choices;

  // "--dram-bytes"
  std::string flag() const;
  // "1 to 64", "memory or flash"; empty when everything of the kind is allowed.
  std::string limits() const;
};

// The table of items that one program declares before it reads them with load(); `--help`,
// `--print-config` and the documentation come from it. Each add_ function checks that the name is
// snake_case and new, that there is a doc, and that the default is allowed.
// One-thread while it is filled, immutable after.
class Schema {
 public:
  // `program` names the command ("tarn-server"); `purpose` is one sentence for its --help.
  explicit Schema(std::string program, std::string purpose = "");

  void add_string(std::string name, std::string initial, std::string doc);
  void add_bytes(std::string name, uint64_t initial, std::string doc, Range range = {});
  void add_uint(std::string name, uint64_t initial, std::string doc, Range range = {});
  void add_bool(std::string name, bool initial, std::string doc);
  // The range is in milliseconds.
  void add_duration_ms(std::string name, Millis initial, std::string doc, Range range = {});
  void add_list(std::string name, std::vector<std::string> initial, std::string doc);
  void add_enum(std::string name, std::string initial, std::vector<std::string> choices,
                std::string doc);

  const std::string& program() const { return x_program; }
  const std::string& purpose() const { return x_purpose; }
  // In the order in which they were added.
  const std::vector<Item>& items() const { return x_items; }
  std::optional<size_t> index_of(std::string_view name) const;

  // The environment variable of an item, or of "config": "TARN_SERVER_DRAM_BYTES".
  std::string env_name(std::string_view item) const;

  // A table of all items for the documentation.
  std::string to_markdown() const;

 private:
  void add(Item item);

  std::string x_program;
  std::string x_purpose;
  std::vector<Item> x_items;
};

// The version of this build: "0.1.0".
std::string_view version();

}  // namespace tarn::config
