#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>

namespace tarn::report {

// What tarn-bench asks a baseline to do for one slice.
struct Run {
  bool is_put = false;
  uint64_t block_bytes = 0;
  uint32_t inflight = 1;
  bool is_checked = true;
  int64_t millis = 0;
};

// "run get|put BLOCK_BYTES INFLIGHT crc|nocrc MILLIS"; nullopt for any other text.
std::optional<Run> parse_run(const std::string& line);

// 0 when there is no such clock, as that of a process that has ended.
int64_t read_clock_ns(clockid_t clock);

}  // namespace tarn::report
