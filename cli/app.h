#pragma once

#include "cli/terminal.h"

namespace tarn::cli {

// The whole of `tarn`: reads the command line, runs the command, says why it failed.
// Returns what the process leaves with. Call once, first thing in main.
int run(int argc, const char* const* argv, Terminal terminal);

}  // namespace tarn::cli
