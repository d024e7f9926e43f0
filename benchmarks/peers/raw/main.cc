// The client of a race for what needs no library: memcached and RESP servers over one TCP
// connection, a folder, the fused copy. Reads lines as benchmarks/peers/raw/command.h has them:
//   echo fill bytes=65536 count=16 | tarn-peer-raw --kind file --at /tmp/x --payload FILE
#include <CLI/CLI.hpp>
#include <iostream>

#include "benchmarks/peers/raw/near_stores.h"
#include "benchmarks/peers/raw/runner.h"
#include "benchmarks/peers/raw/text_stores.h"

namespace {

using tarn::Result;
using tarn::Status;
using tarn::peers::Store;

struct Options {
  std::string kind;
  std::string at;
  std::string payload;
  uint64_t memory_mib = 608;
  uint64_t store_mib = 1024;
};

Result<std::unique_ptr<Store>> open_store(const Options& options) {
  if (options.kind == "file") return tarn::peers::file_store(options.at);
  if (options.kind == "copy") return tarn::peers::copy_store(options.store_mib << 20);
  auto store =
      options.kind == "memcached" ? tarn::peers::memcached_store() : tarn::peers::resp_store();
  TARN_RETURN_IF_ERROR(store->connect(options.at));
  return std::unique_ptr<Store>(std::move(store));
}

Status run(const Options& options) {
  auto store = open_store(options);
  if (!store) return store.error();
  const auto memory = (*store)->allocate(options.memory_mib << 20);
  if (!memory) return memory.error();
  const auto payload = tarn::peers::Payload::load(options.payload, *memory);
  if (!payload) return payload.error();
  std::cout << "ready transport=" << options.kind << '\n' << std::flush;
  tarn::peers::Runner runner(**store, *payload);
  serve_lines(runner);
  return Status::ok();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("A client of benchmarks/peers: puts, gets and asks as the lines of stdin say");
  app.add_option("--kind", options.kind, "What to talk to")
      ->check(CLI::IsMember({"memcached", "resp", "file", "copy"}))
      ->required();
  app.add_option("--at", options.at, "HOST:PORT, or the folder");
  app.add_option("--payload", options.payload, "File of the random bytes")->required();
  app.add_option("--memory-mib", options.memory_mib, "Of the client: the file's bytes, the ring");
  app.add_option("--store-mib", options.store_mib, "copy: of the memfd");
  CLI11_PARSE(app, argc, argv);
  const Status status = run(options);
  if (status.is_ok()) return 0;
  std::cout << "error " << status.to_string() << '\n';
  return 1;
}
