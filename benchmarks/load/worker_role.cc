#include "benchmarks/load/worker_role.h"

#include <chrono>
#include <iostream>
#include <thread>

#include "benchmarks/load/pattern.h"

namespace tarn::load {
namespace {

constexpr size_t kBufferBytes = size_t{64} << 20;
constexpr uint64_t kBlockBytes = 256 << 10;

Expected<Done> resume(Space& space, const Buffer& buffer, const std::string& session_id) {
  const auto manifest = space.open_session(session_id).resolve();
  if (!manifest) return manifest.error();
  if (manifest.value().blocks.empty()) return Error{Outcome::miss, "a session without blocks"};
  const GetItem item{manifest.value().blocks[0], {buffer.slice(0, kBlockBytes)}};
  Transfer transfer = space.get_kv({&item, 1});
  if (auto ended = transfer.wait(); !ended) return ended;
  if (transfer.all_ok()) return Done{};
  return Error{transfer.outcomes()[0].outcome, transfer.outcomes()[0].message};
}

}  // namespace

Expected<Done> be_worker(const ClientOptions& options, const std::string& name) {
  auto client = Client::connect(options);
  if (!client) return client.error();
  auto space = client->open_space(bench_space(kFailoverSpace));
  if (!space) return space.error();
  auto buffer = client->allocate(kBufferBytes);
  if (!buffer) return buffer.error();
  WorkerSpec spec;
  spec.name = name;
  spec.endpoint = "127.0.0.1:1";
  spec.capacity = 8;
  spec.prefill_tokens_per_s = 1000;
  auto worker = client->register_worker(*space, spec);
  if (!worker) return worker.error();
  while (!worker->connected())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::cout << kWorkerReady << '\n' << std::flush;
  std::string session_id;
  while (std::getline(std::cin, session_id)) {
    const auto resumed = resume(*space, *buffer, session_id);
    std::cout << (resumed ? std::string(kWorkerHasBlock) : resumed.error().message) << '\n'
              << std::flush;
  }
  return Done{};
}

}  // namespace tarn::load
