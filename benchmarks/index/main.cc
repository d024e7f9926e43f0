// tarn-bench-index: the router's index by itself, from ten thousand blocks up. docs/BENCHMARKS.md
// says how to read what it prints.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "benchmarks/index/figures.h"
#include "benchmarks/report/json.h"
#include "benchmarks/report/machine.h"
#include "common/base/units.h"

namespace {

using tarn::index_bench::Chains;
using tarn::index_bench::Figures;
using tarn::index_bench::Options;
using tarn::index_bench::Restart;
using tarn::report::JsonObject;

constexpr uint32_t kSmallest = 10'000;
constexpr uint64_t kSeed = 42;

// Temporary, gone with the process's end as long as it is an orderly one.
struct Folder {
  std::string path;
  Folder() {
    const std::string name = "tarn_bench_index_" + std::to_string(::getpid());
    path = (std::filesystem::temp_directory_path() / name).string();
    std::filesystem::create_directories(path);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

JsonObject json_of(const Figures& figures) {
  JsonObject json;
  json.add("blocks", figures.blocks)
      .add("bytes_per_block", figures.bytes_per_block)
      .add("load_events_per_s", figures.load_per_s)
      .add("update_events_per_s", figures.update_per_s)
      .add("lookup_ns", figures.lookup_ns)
      .add("match_ns_per_hash", figures.match_ns)
      .add("match_p50_us", figures.match_p50_us)
      .add("call_p50_us", figures.call_p50_us)
      .add("call_p99_us", figures.call_p99_us);
  return json;
}

void print_row(const Figures& figures) {
  if (figures.blocks == kSmallest) {
    std::printf("%10s %8s %8s %8s %10s %10s %10s %10s %10s\n", "blocks", "B/block", "load M/s",
                "upd. M/s", "lookup ns", "match ns/h", "match us", "call p50", "call p99");
  }
  std::printf("%10llu %8.1f %8.2f %8.2f %10.1f %10.2f %10.1f %10.1f %10.1f\n",
              static_cast<unsigned long long>(figures.blocks), figures.bytes_per_block,
              figures.load_per_s * 1e-6, figures.update_per_s * 1e-6, figures.lookup_ns,
              figures.match_ns, figures.match_p50_us, figures.call_p50_us, figures.call_p99_us);
  std::fflush(stdout);
}

int fail(const tarn::Status& status) {
  std::fprintf(stderr, "tarn-bench-index: %s\n", status.to_string().c_str());
  return 1;
}

tarn::Status run(const Options& options, const Folder& folder, JsonObject& json) {
  std::unique_ptr<tarn::index::Index> index;
  for (uint64_t blocks = kSmallest; blocks <= options.blocks; blocks *= 10) {
    const Chains chains(static_cast<uint32_t>(blocks), options.extent_blocks);
    index = std::make_unique<tarn::index::Index>(kSeed);
    const double load_per_s = fill(*index, chains);
    TARN_ASSIGN_OR_RETURN(Figures figures,
                          measure(*index, chains, options, folder.path + "/secrets"));
    figures.load_per_s = load_per_s;
    print_row(figures);
    json.add("blocks_" + std::to_string(blocks), json_of(figures));
  }
  TARN_ASSIGN_OR_RETURN(const Restart restart,
                        tarn::index_bench::restart(std::move(index), folder.path + "/index"));
  std::printf("snapshot: %.2f s, %.0f MB; restart from it: %.2f s\n", restart.write_s,
              static_cast<double>(restart.snapshot_bytes) * 1e-6, restart.restore_s);
  json.add("snapshot_s", restart.write_s)
      .add("snapshot_bytes", restart.snapshot_bytes)
      .add("restart_s", restart.restore_s);
  return tarn::Status::ok();
}

bool parse(int argc, char** argv, Options* options, int* status) {
  CLI::App app("Measures the router's index at 10,000 blocks, ten times as many, and so on.");
  app.add_option("--blocks", options->blocks, "Of the largest index")
      ->check(CLI::Range(kSmallest, 100'000'000u))
      ->capture_default_str();
  app.add_option("--extent-blocks", options->extent_blocks, "Blocks of an extent; 1: a flat space")
      ->check(CLI::Range(1u, tarn::kExtentBlocksMax))
      ->capture_default_str();
  app.add_option("--hashes", options->hashes, "Of one Match")
      ->check(CLI::Range(1u, tarn::kMatchHashesMax))
      ->capture_default_str();
  app.add_option("--rounds", options->rounds, "Of each kind of call")
      ->check(CLI::Range(1u, 1'000'000u))
      ->capture_default_str();
  app.add_option("--json", options->json, "Writes the figures into this file, too");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    *status = app.exit(error);
    return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  int exit_status = 0;
  if (!parse(argc, argv, &options, &exit_status)) return exit_status;
  const Folder folder;
  JsonObject json;
  json.add("extent_blocks", uint64_t{options.extent_blocks})
      .add("hashes", uint64_t{options.hashes});
  const tarn::Status done = run(options, folder, json);
  if (!done.is_ok()) return fail(done);
  json.add("machine", tarn::report::describe_machine());
  if (options.json.empty() || tarn::report::write_file(options.json, json.text() + "\n")) return 0;
  return fail(tarn::internal_error("cannot write " + options.json));
}
