#include "benchmarks/report/machine.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <fstream>

namespace tarn::report {
namespace {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace

JsonObject describe_machine() {
  utsname system{};
  const bool is_known = uname(&system) == 0;
  const double memory_bytes =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  double load = 0;
  if (getloadavg(&load, 1) != 1) load = NAN;
  JsonObject machine;
  machine.add("cpu", cpu_model())
      .add("cores", static_cast<uint64_t>(sysconf(_SC_NPROCESSORS_ONLN)))
      .add("memory_gib", memory_bytes / (1 << 30))
      .add("kernel", is_known ? system.release : "unknown")
      .add("load_average", load)
      .add("unix_s", static_cast<uint64_t>(std::time(nullptr)));
  return machine;
}

}  // namespace tarn::report
