#include "benchmarks/index/figures.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <random>

#include "benchmarks/index/rpc/ingest.h"
#include "benchmarks/index/rpc/match_calls.h"
#include "benchmarks/report/latency_histogram.h"
#include "common/base/check.h"
#include "common/base/clock.h"

namespace tarn::index_bench {
namespace {

constexpr uint32_t kMessageEvents = 1024;
constexpr uint32_t kLookupHashes = 1024;
constexpr ServerId kServer{1};

Nanos wall_time() {
  return Nanos(system_clock().now().ns);
}

// Of this thread: what the index costs a core, however busy the machine is.
Nanos cpu_time() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + Nanos(now.tv_nsec);
}

// Time of what is done between begin() and end(), in sum and by the piece.
class Stopwatch {
 public:
  explicit Stopwatch(Nanos (*time)() = cpu_time) : x_time(time) {}

  void begin() { x_begin = x_time(); }
  void end() {
    const auto spent = static_cast<uint64_t>((x_time() - x_begin).count());
    x_sum_ns += spent;
    x_pieces.add(spent);
  }
  double seconds() const { return static_cast<double>(x_sum_ns) * 1e-9; }
  double quantile_us(double quantile) const { return x_pieces.quantile_us(quantile); }

 private:
  Nanos (*x_time)();
  Nanos x_begin{};
  uint64_t x_sum_ns = 0;
  report::LatencyHistogram x_pieces;
};

// Draws blocks, and chains to ask for. One-thread.
class Draw {
 public:
  Draw(const Chains& chains, uint32_t hashes) : x_chains(chains), x_hashes(hashes) {}

  uint32_t block() { return static_cast<uint32_t>(x_random() % x_chains.blocks()); }
  // Of a whole chain, as long as one may be.
  std::vector<uint64_t> chain() {
    const uint32_t whole = x_chains.blocks() / kChainBlocks;
    const uint32_t which = whole == 0 ? 0 : block() / kChainBlocks % whole;
    return x_chains.digests(which * kChainBlocks, std::min(x_hashes, kChainBlocks));
  }

 private:
  const Chains& x_chains;
  const uint32_t x_hashes;
  std::mt19937_64 x_random{1};
};

double lookup_ns(const index::Index& index, const Chains& chains, Draw& draw, uint32_t rounds) {
  Stopwatch watch;
  for (uint32_t round = 0; round < rounds; ++round) {
    std::vector<block::BlockHash> hashes;
    for (uint32_t i = 0; i < kLookupHashes; ++i)
      hashes.push_back(chains.hashes(draw.block(), 1).front());
    index::ChainQuery query = Chains::query();
    query.hashes = hashes;
    watch.begin();
    const auto located = index.locate(query);
    watch.end();
    for (const index::Located& each : located)
      TARN_CHECK(each.holders.count == 1);
  }
  return watch.seconds() * 1e9 / rounds / kLookupHashes;
}

void measure_match(const index::Index& index, Draw& draw, uint32_t rounds, Figures& figures) {
  Stopwatch watch;
  uint64_t hashes = 0;
  for (uint32_t round = 0; round < rounds; ++round) {
    const std::vector<uint64_t> digests = draw.chain();
    index::ChainQuery query = Chains::query();
    query.digests = digests;
    watch.begin();
    const auto answer = index.match(query);
    watch.end();
    TARN_CHECK(answer.matched == digests.size());
    hashes += digests.size();
  }
  figures.match_ns = watch.seconds() * 1e9 / static_cast<double>(hashes);
  figures.match_p50_us = watch.quantile_us(0.5);
}

Status measure_calls(MatchCalls& calls, Draw& draw, uint32_t rounds, Figures& figures) {
  constexpr uint32_t kWarmUp = 50;
  Stopwatch watch(wall_time);
  for (uint32_t round = 0; round < rounds + kWarmUp; ++round) {
    if (round == kWarmUp) watch = Stopwatch(wall_time);
    const std::vector<uint64_t> digests = draw.chain();
    watch.begin();
    const auto matched = calls.match(Chains::query().space, digests);
    watch.end();
    if (!matched) return matched.status();
    if (*matched != digests.size()) return internal_error("Match leaves out what is there");
  }
  figures.call_p50_us = watch.quantile_us(0.5);
  figures.call_p99_us = watch.quantile_us(0.99);
  return Status::ok();
}

// Random blocks go, and come back.
double update_per_s(index::Index& index, const Chains& chains, Draw& draw, uint32_t rounds) {
  Ingest ingest(index, index.attach(kServer));
  Stopwatch watch;
  uint64_t done = 0;
  for (uint32_t round = 0; round < rounds; ++round) {
    std::vector<uint32_t> blocks(kMessageEvents / 2);
    for (uint32_t& block : blocks)
      block = draw.block();
    std::sort(blocks.begin(), blocks.end());
    blocks.erase(std::unique(blocks.begin(), blocks.end()), blocks.end());
    std::shuffle(blocks.begin(), blocks.end(), std::mt19937_64(round));
    done += 2 * blocks.size();
    for (const bool removed : {true, false}) {
      std::vector<index::BlockEvent> events;
      for (const uint32_t block : blocks)
        events.push_back(chains.event(block, removed));
      const std::string message = message_of(events);
      watch.begin();
      const bool taken = ingest.take(message);
      watch.end();
      TARN_CHECK(taken);
    }
    TARN_CHECK(index.stats().blocks == chains.blocks());
  }
  return static_cast<double>(done) / watch.seconds();
}

}  // namespace

double fill(index::Index& index, const Chains& chains) {
  Ingest ingest(index, index.attach(kServer));
  Writing writing(chains);
  Stopwatch watch;
  uint64_t done = 0;
  uint64_t told = 0;
  for (auto events = writing.next(kMessageEvents); !events.empty();
       events = writing.next(kMessageEvents)) {
    const std::string message = message_of(events);
    watch.begin();
    const bool taken = ingest.take(message);
    watch.end();
    TARN_CHECK(taken);
    done += events.size();
    if (done < told + 1'000'000) continue;
    told = done;
    std::fprintf(stderr, "%llu of %u blocks, %.2f million events a second\n",
                 static_cast<unsigned long long>(done), chains.blocks(),
                 static_cast<double>(done) * 1e-6 / watch.seconds());
  }
  TARN_CHECK(index.stats().blocks == chains.blocks());
  return static_cast<double>(done) / watch.seconds();
}

Result<Figures> measure(index::Index& index, const Chains& chains, const Options& options,
                        const std::string& folder) {
  Figures figures;
  figures.blocks = chains.blocks();
  figures.bytes_per_block = static_cast<double>(index.stats().memory_bytes) / chains.blocks();
  Draw draw(chains, options.hashes);
  figures.lookup_ns = lookup_ns(index, chains, draw, options.rounds);
  measure_match(index, draw, options.rounds, figures);
  figures.update_per_s = update_per_s(index, chains, draw, options.rounds);
  TARN_ASSIGN_OR_RETURN(const auto calls, MatchCalls::open(index, kTenantName, folder));
  TARN_RETURN_IF_ERROR(measure_calls(*calls, draw, options.rounds, figures));
  return figures;
}

}  // namespace tarn::index_bench
