#pragma once

#include "benchmarks/report/json.h"

namespace tarn::report {

// What the numbers were measured on: {cpu, cores, memory_gib, kernel, load_average, unix_s}.
JsonObject describe_machine();

}  // namespace tarn::report
