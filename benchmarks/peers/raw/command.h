#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace tarn::peers {

// One line of the race: "get bytes=2097152 inflight=8 millis=200 ops=4000 count=64 servers=12,13".
struct Command {
  std::string verb;            // fill, get, put, exists, drop
  uint64_t bytes = 0;          // of one value
  uint32_t inflight = 1;       // operations kept going
  int64_t millis = 0;          // after which nothing new is begun
  uint64_t ops = 0;            // after which nothing new is begun
  uint64_t count = 0;          // keys of the working set, or of one exists
  uint64_t turn = 0;           // makes the keys of this put differ from all others
  std::vector<pid_t> servers;  // whose CPU time is the server's
};

// Returns: the command; invalid_argument, naming the word.
Result<Command> parse_command(std::string_view line);

// What one command did; CPU time is of the timed part alone.
struct Answer {
  uint64_t ops = 0;
  uint64_t bytes = 0;
  uint64_t checked = 0;  // values compared byte for byte, all of them right
  int64_t wall_ns = 0;
  int64_t client_cpu_ns = 0;
  int64_t server_cpu_ns = 0;
  std::vector<int64_t> latencies_ns;  // one for each operation

  // "done ops=1 bytes=... latencies=12,13", without the line's end.
  std::string to_line() const;
};

int64_t now_ns();
// All threads of this process, and of others; one that is gone counts nothing.
int64_t own_cpu_ns();
int64_t cpu_ns_of(const std::vector<pid_t>& processes);

}  // namespace tarn::peers
