#include "benchmarks/load/options.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

namespace tarn::load {
namespace {

constexpr uint64_t kFlashDramMib = 128;
constexpr uint64_t kFlashSetMib = 2048;

// Empty for options that go together.
std::string what_is_wrong(const Options& options) {
  if (options.has_python && options.op != "get")
    return "--python: --op get alone has a loop in Python";
  const bool moves = options.op == "put" || options.op == "get";
  if (options.is_flash && (!moves || options.is_attached()))
    return "--tier flash: for put and get, with a server of its own";
  if (options.baseline == "fio" && !options.is_flash) return "--baseline fio: for --tier flash";
  if (options.baseline == "fio" && options.workload.block_bytes % 4096 != 0)
    return "--baseline fio: --block-bytes has to be a multiple of 4096";
  return {};
}

// What the tier changes where nothing else is said.
struct FlashChoice {
  std::shared_ptr<std::string> tier;
  const CLI::Option* working_set;
  const CLI::Option* dram;

  void apply(Options& options) const {
    options.is_flash = *tier == "flash";
    if (options.is_flash && dram->count() == 0) options.dram_mib = kFlashDramMib;
    if (options.is_flash && working_set->count() == 0) options.working_set_mib = kFlashSetMib;
  }
};

FlashChoice add_flash(CLI::App& app, Options* options) {
  const auto* const working_set = app.add_option("--working-set-mib", options->working_set_mib,
                                                 "get, views: blocks to go round")
                                      ->check(CLI::Range(1, 1 << 20))
                                      ->capture_default_str();
  const auto* const dram =
      app.add_option("--dram-mib", options->dram_mib, "Memory of each server that is started")
          ->capture_default_str();
  const auto tier = std::make_shared<std::string>("dram");
  app.add_option("--tier", *tier,
                 "put, get: where blocks are kept; flash with 128 MiB of dram and "
                 "2 GiB to go round, where nothing else is said")
      ->check(CLI::IsMember({"dram", "flash"}))
      ->capture_default_str();
  app.add_option("--flash-dir", options->flash_dir,
                 "Folder of the drive's file; else the temporary folder");
  return {tier, working_set, dram};
}

}  // namespace

bool parse(int argc, char** argv, Options* options, int* status) {
  CLI::App app(
      "Measures Tarn through its public header, beside raw UCX. Starts a router and servers of its "
      "own on loopback, with temporary data, unless --endpoint names some.");
  app.add_option("--op", options->op, "What to measure")
      ->check(CLI::IsMember({"put", "get", "views", "match", "exists", "failover"}))
      ->capture_default_str();
  app.add_option("--block-bytes", options->workload.block_bytes, "put, get, views: size of a block")
      ->check(CLI::Range(1, 64 << 20))
      ->capture_default_str();
  app.add_option("--inflight", options->workload.inflight,
                 "put, get, views: transfers of one block each")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--transport", options->transport, "What carries the bytes")
      ->check(CLI::IsMember({"tcp", "shm", "grpc", "local"}))
      ->capture_default_str();
  app.add_option("--seconds", options->seconds, "put, get, views: of all slices together")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  app.add_option("--baseline", options->baseline, "put, get: what runs in between")
      ->check(CLI::IsMember({"ucx", "copy", "fio", "none"}))
      ->capture_default_str();
  app.add_flag("--python", options->has_python,
               "get: the same loop from Python runs in between, too (build with TARN_PYTHON=ON)");
  app.add_option("--json", options->json, "Writes the figures into this file, too");
  app.add_option("--endpoint", options->endpoint, "HOST:PORT of routers that run already");
  app.add_option("--credentials", options->credentials, "Folder with what they ask to be shown");
  app.add_option("--hashes", options->hashes, "match, exists: of one call")
      ->check(CLI::Range(1, 8192))
      ->capture_default_str();
  app.add_option("--keys", options->hashes, "exists: the same as --hashes")
      ->check(CLI::Range(1, 8192))
      ->excludes("--hashes");
  app.add_option("--blocks", options->indexed_blocks, "match, exists: blocks to put before")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  app.add_option("--calls", options->calls, "match, exists: calls that are timed")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--rounds", options->rounds, "failover: processes of each kind to kill")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  const FlashChoice flash = add_flash(app, options);
  app.add_flag("--polling", options->is_polling,
               "Neither the client nor the servers that are started ever sleep");
  app.add_option("--lane-cpus", options->lane_cpus,
                 "Processors of the lanes of each server that is started, as its own option says");
  app.add_flag("--keep-logs", options->keeps_logs, "Leave the temporary folder there");
  app.add_option("--worker", options->worker)->group("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    *status = app.exit(error);
    return false;
  }
  flash.apply(*options);
  if (const std::string wrong = what_is_wrong(*options); !wrong.empty()) {
    std::cerr << wrong << '\n';
    *status = 1;
    return false;
  }
  return true;
}

Transport transport_of(const std::string& name) {
  if (name == "shm") return Transport::shm;
  if (name == "local") return Transport::local;
  return name == "grpc" ? Transport::grpc : Transport::tcp;
}

}  // namespace tarn::load
