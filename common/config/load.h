#pragma once

#include <map>
#include <string>

#include "common/base/result.h"
#include "common/config/schema.h"
#include "common/config/values.h"

namespace tarn::config {

using Environment = std::map<std::string, std::string>;

// The environment of this process.
Environment environment();

// Reads every item of the schema from where it is said loudest: flag (--dram-bytes 4GiB), then
// environment (TARN_SERVER_DRAM_BYTES), then the file that --config or TARN_SERVER_CONFIG names,
// then the default. On an error main prints its message to stderr and leaves with 2. When
// Values::output() is not empty, it answers --help, --version or --print-config: main prints it to
// stdout and leaves with 0.
// Blocks while it reads the file. Returns: the values, invalid_argument with one sentence that
// names the flag, the variable or the file and line, the item, and what would be right.
Result<Values> load(const Schema& schema, int argc, const char* const* argv,
                    const Environment& env);

}  // namespace tarn::config
