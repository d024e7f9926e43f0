#pragma once

#include <string>

#include "benchmarks/load/options.h"
#include "benchmarks/load/stage.h"
#include "benchmarks/report/json.h"

namespace tarn::load {

// What a run has found, for people and for programs.
struct Report {
  std::string table;
  report::JsonObject json;
};

// Does what the options say, with the programs of the build that this one is of. Blocks for as long
// as it takes. Returns: the report; the first Error.
Expected<Report> run_bench(Stage& stage, const Options& options);

// The folder of this program.
std::string own_folder();

}  // namespace tarn::load
