#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include "common/base/clock.h"
#include "common/base/result.h"

// Other programs, started without a shell.
namespace tarn::cli {

// Starts `words`, the first of which is looked for in PATH unless it has a slash; its stdin is
// empty. Returns: the process id, which the caller must wait for; not_found; unavailable.
Result<pid_t> start_program(const std::vector<std::string>& words);

// Runs `words` and reads what they write to stdout, at most 4 MiB, for at most `timeout`.
// Blocks. Returns: the text; not_found; unavailable (it failed, or was ended for its slowness).
Result<std::string> read_program(const std::vector<std::string>& words, Millis timeout);

}  // namespace tarn::cli
