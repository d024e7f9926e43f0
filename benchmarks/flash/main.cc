// tarn-bench-flash: the drives of the flash tier by themselves. docs/BENCHMARKS.md says how to read
// what it prints.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "benchmarks/flash/restart.h"
#include "benchmarks/report/machine.h"

int main(int argc, char** argv) {
  tarn::flash_bench::RestartOptions options;
  std::string json_path;
  CLI::App app("The drives of Tarn's flash tier by themselves: fills one and opens it again.");
  app.add_option("--file", options.path, "Of the drive; it is made, and removed")->required();
  app.add_option("--blocks", options.blocks, "How many")->check(CLI::Range(10'000, 100'000'000));
  app.add_option("--block-bytes", options.block_bytes, "Of each")->check(CLI::Range(1, 1 << 26));
  app.add_option("--rounds", options.rounds, "Of restarts")->check(CLI::Range(1, 100));
  app.add_option("--json", json_path, "Where the figures go");
  CLI11_PARSE(app, argc, argv);
  auto json = tarn::flash_bench::run_restart(options);
  if (!json) {
    std::fprintf(stderr, "tarn-bench-flash: %s\n", json.error().to_string().c_str());
    return 1;
  }
  json->add("machine", tarn::report::describe_machine());
  if (json_path.empty() || tarn::report::write_file(json_path, json->text() + "\n")) return 0;
  std::fprintf(stderr, "tarn-bench-flash: cannot write %s\n", json_path.c_str());
  return 1;
}
