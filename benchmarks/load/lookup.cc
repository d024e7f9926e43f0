#include "benchmarks/load/lookup.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "benchmarks/load/child.h"
#include "benchmarks/load/pattern.h"

namespace tarn::load {
namespace {

constexpr size_t kPayloadBytes = 256;
constexpr size_t kBatchBlocks = 256;
constexpr int64_t kLearnNsMax = 60'000'000'000;
constexpr uint32_t kWarmUpCalls = 50;

using Chain = std::vector<BlockHash>;

Chain chain_of(uint64_t run, uint64_t which, size_t length) {
  Chain chain;
  for (size_t i = 0; i < length; ++i)
    chain.push_back(hash_of(run, which * length + i));
  return chain;
}

Expected<Done> put_chain(Space& space, const Buffer& payload, const Chain& chain) {
  for (size_t first = 0; first < chain.size(); first += kBatchBlocks) {
    std::vector<PutItem> items;
    for (size_t i = first; i < std::min(first + kBatchBlocks, chain.size()); ++i) {
      items.push_back(
          {chain[i], i == 0 ? BlockHash() : chain[i - 1], {payload.slice(0, kPayloadBytes)}});
    }
    Transfer transfer = space.put_kv(items);
    if (auto ended = transfer.wait(); !ended) return ended.error();
    if (transfer.all_ok()) continue;
    for (const BlockOutcome& outcome : transfer.outcomes()) {
      if (outcome.outcome == Outcome::ok || outcome.outcome == Outcome::exists) continue;
      return Error{outcome.outcome, "put: " + outcome.message};
    }
  }
  return Done{};
}

// How many of the chain's blocks are there.
Expected<size_t> look_up(Space& space, const Chain& chain, bool is_exists) {
  if (is_exists) {
    const auto there = space.exists(chain);
    if (!there) return there.error();
    return static_cast<size_t>(std::count(there.value().begin(), there.value().end(), true));
  }
  const auto match = space.match(chain);
  if (!match) return match.error();
  return size_t{match.value().matched};
}

Expected<Done> wait_until_known(Space& space, const Chain& chain, bool is_exists) {
  const int64_t end_ns = now_ns() + kLearnNsMax;
  size_t known = 0;
  while (now_ns() < end_ns) {
    const auto now_known = look_up(space, chain, is_exists);
    if (!now_known) return now_known.error();
    known = now_known.value();
    if (known == chain.size()) return Done{};
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return Error{Outcome::unavailable, "only " + std::to_string(known) + " of " +
                                         std::to_string(chain.size()) + " blocks are known"};
}

Expected<std::vector<Chain>> fill_index(Client& client, Space& space,
                                        const LookupOptions& options) {
  auto payload = client.allocate(kPayloadBytes);
  if (!payload) return payload.error();
  const uint64_t run = fresh_run();
  std::vector<Chain> chains;
  for (uint64_t which = 0; which * options.hashes < options.indexed_blocks; ++which) {
    chains.push_back(chain_of(run, which, options.hashes));
    if (auto put = put_chain(space, payload.value(), chains.back()); !put) return put.error();
  }
  for (const Chain& chain : chains) {
    if (auto known = wait_until_known(space, chain, options.is_exists); !known) {
      return known.error();
    }
  }
  return chains;
}

}  // namespace

Expected<Lookups> run_lookup(const LookupOptions& options) {
  auto client = Client::connect(options.client);
  if (!client) return client.error();
  auto space = client->open_space(bench_space("lookup"));
  if (!space) return space.error();
  const auto chains = fill_index(*client, *space, options);
  if (!chains) return chains.error();
  Lookups out;
  out.indexed_blocks = chains.value().size() * options.hashes;
  report::Slice& slice = out.calls;
  for (uint32_t call = 0; call < options.calls + kWarmUpCalls; ++call) {
    const Chain& chain = chains.value()[call % chains.value().size()];
    const int64_t begin_ns = now_ns();
    const auto known = look_up(*space, chain, options.is_exists);
    const int64_t took_ns = now_ns() - begin_ns;
    if (!known) return known.error();
    if (known.value() != chain.size()) {
      return Error{Outcome::miss, "an answer leaves out blocks that are there"};
    }
    if (call < kWarmUpCalls) continue;
    slice.blocks += chain.size();
    slice.wall_ns += took_ns;
    slice.latency.add(static_cast<uint64_t>(took_ns));
  }
  return out;
}

}  // namespace tarn::load
