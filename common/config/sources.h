#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/config/schema.h"
#include "common/config/values.h"

// The two sources that need a library each; load() puts them together. Internal to this folder.
namespace tarn::config {

// An item's index and what one source says about it.
using Settings = std::vector<std::pair<size_t, Setting>>;

struct Flags {
  Settings settings;
  std::string config_path;  // empty when --config was not given
  bool print_config = false;
  std::string output;  // the text of --help or --version, if asked for
};

// A configuration file is small; what is larger is another file.
inline constexpr size_t kFileBytesMax = 1 << 20;

// Returns: the flags, invalid_argument that names the flag.
Result<Flags> read_flags(const Schema& schema, int argc, const char* const* argv);

// Returns: the settings in the order of the lines, invalid_argument that names file, line and item.
Result<Settings> read_file(const Schema& schema, const std::string& path);

// "unknown item dram_byte (did you mean dram_bytes?)"
std::string unknown_item(const Schema& schema, const std::string& name);

}  // namespace tarn::config
