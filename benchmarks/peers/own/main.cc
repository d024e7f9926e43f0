// Tarn's client of a race. Reads lines as benchmarks/peers/raw/command.h has them, and first says
// "ready transport=...": what the SDK has taken, which may be less than was asked for.
#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <thread>

#include "benchmarks/peers/own/tarn_store.h"
#include "benchmarks/peers/raw/runner.h"

namespace {

using tarn::Result;
using tarn::Status;
using tarn::peers::TarnStore;

struct Options {
  tarn::ClientOptions client;
  std::string transport;
  std::string payload;
  uint64_t memory_mib = 608;
};

// A server that has just come up is not yet in the ring: the first put waits for it.
Status put_first(TarnStore& store, std::span<std::byte> bytes) {
  Status last = tarn::unavailable("no server");
  for (int tries = 0; tries < 400; ++tries) {
    TARN_RETURN_IF_ERROR(store.begin_put(0, "first-" + std::to_string(tries), bytes));
    const auto ended = store.wait();
    if (ended) return Status::ok();
    last = ended.error();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return last;
}

Status run(Options& options) {
  options.client.transport = options.transport == "tcp"    ? tarn::Transport::tcp
                             : options.transport == "shm"  ? tarn::Transport::shm
                             : options.transport == "grpc" ? tarn::Transport::grpc
                                                           : tarn::Transport::local;
  auto store = TarnStore::open(options.client);
  if (!store) return store.error();
  const auto memory = (*store)->allocate(options.memory_mib << 20);
  if (!memory) return memory.error();
  const auto payload = tarn::peers::Payload::load(options.payload, *memory);
  if (!payload) return payload.error();
  TARN_RETURN_IF_ERROR(put_first(**store, payload->value(0, 4096)));
  std::cout << "ready transport=" << (*store)->transport() << '\n' << std::flush;
  tarn::peers::Runner runner(**store, *payload);
  serve_lines(runner);
  return Status::ok();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Tarn's client of benchmarks/peers: puts, gets and asks as the lines of stdin say");
  app.add_option("--endpoint", options.client.endpoint, "HOST:PORT of the router")->required();
  app.add_option("--credentials", options.client.credentials, "What it asks for")->required();
  app.add_option("--transport", options.transport, "How the bytes travel")
      ->check(CLI::IsMember({"local", "shm", "tcp", "grpc"}))
      ->required();
  app.add_option("--payload", options.payload, "File of the random bytes")->required();
  app.add_option("--memory-mib", options.memory_mib, "Of the client: the file's bytes, the ring");
  CLI11_PARSE(app, argc, argv);
  const Status status = run(options);
  if (status.is_ok()) return 0;
  std::cout << "error " << status.to_string() << '\n';
  return 1;
}
