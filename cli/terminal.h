#pragma once

#include <iosfwd>
#include <string_view>

#include "cli/json.h"
#include "common/base/status.h"

namespace tarn::cli {

// Where a command answers, and how. One-thread.
struct Terminal {
  std::ostream& out;            // the answer, and nothing else
  std::ostream& err;            // progress, hints and errors
  bool is_json = false;         // the answer is one JSON value
  bool is_interactive = false;  // somebody looks at `err`: progress may rewrite its line
  bool has_answered = false;    // an error then says nothing more on `out`

  // The answer in the form that was asked for.
  void answer(const Json& json, std::string_view text);
};

// What `tarn` leaves with.
inline constexpr int kExitOk = 0;
inline constexpr int kExitNotSo = 1;  // no such block, session or name; a version that has changed
inline constexpr int kExitUsage = 2;  // a flag, a file or a value that is wrong
inline constexpr int kExitUnavailable = 3;  // nobody answers, or not in time: try later
inline constexpr int kExitDenied = 4;       // the credentials do not suffice
inline constexpr int kExitBroken = 5;       // damaged bytes, or a mistake of Tarn's own

int exit_code(Code code);

// Says why a command failed, once, and returns what to leave with.
int report(Terminal& terminal, const Status& status);

}  // namespace tarn::cli
