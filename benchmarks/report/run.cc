#include "benchmarks/report/run.h"

#include <sstream>

namespace tarn::report {

std::optional<Run> parse_run(const std::string& line) {
  std::istringstream words(line);
  std::string verb;
  std::string op;
  std::string check;
  Run run;
  words >> verb >> op >> run.block_bytes >> run.inflight >> check >> run.millis;
  run.is_put = op == "put";
  run.is_checked = check == "crc";
  const bool is_known = (run.is_put || op == "get") && (run.is_checked || check == "nocrc");
  if (!words || verb != "run" || !is_known || run.millis <= 0) return std::nullopt;
  return run;
}

int64_t read_clock_ns(clockid_t clock) {
  timespec time{};
  if (clock_gettime(clock, &time) != 0) return 0;
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace tarn::report
