#include "benchmarks/copy/copier.h"

#include <cstring>
#include <utility>

#include "common/block/checksum.h"

namespace tarn::copying {
namespace {

int64_t now_ns() {
  return report::read_clock_ns(CLOCK_MONOTONIC);
}

}  // namespace

Result<std::unique_ptr<Copier>> Copier::open(int memfd, size_t pool_bytes) {
  TARN_ASSIGN_OR_RETURN(Mapping own, Mapping::anonymous(pool_bytes));
  return std::unique_ptr<Copier>(new Copier(memfd, std::move(own)));
}

Status Copier::check(const Run& run) const {
  if (run.inflight == 0 || run.inflight > kInflightMax) {
    return invalid_argument("inflight: 1 to " + std::to_string(kInflightMax));
  }
  if (run.block_bytes == 0 || run.block_bytes > x_own.bytes().size() / run.inflight) {
    return invalid_argument("block-bytes: so many do not fit into the memory of each side");
  }
  return Status::ok();
}

// The checksums of what will be copied are made beforehand, as Tarn keeps them.
Status Copier::prepare(const Run& run) {
  if (x_pool && run.is_put == x_prepared.is_put && run.block_bytes == x_prepared.block_bytes) {
    return Status::ok();
  }
  x_pool.reset();
  const size_t bytes = x_own.bytes().size();
  TARN_ASSIGN_OR_RETURN(Mapping pool, Mapping::shared(x_memfd, bytes, run.is_put));
  x_pool.emplace(std::move(pool));
  x_checksums.clear();
  const std::byte* const source = run.is_put ? x_own.bytes().data() : x_pool->bytes().data();
  for (size_t at = 0; at + run.block_bytes <= bytes; at += run.block_bytes)
    x_checksums.push_back(block::crc32c(0, source + at, run.block_bytes));
  x_prepared = run;
  return Status::ok();
}

bool Copier::move_next(const Run& run) {
  const uint64_t blocks = x_checksums.size();
  const uint64_t number = x_next_block++;
  // The sides go round at different speeds, so that pairs of them do not come again soon.
  const uint64_t from = number % blocks;
  const uint64_t to = (number + number / blocks) % blocks;
  std::byte* const theirs = x_pool->bytes().data() + (run.is_put ? to : from) * run.block_bytes;
  std::byte* const ours = x_own.bytes().data() + (run.is_put ? from : to) * run.block_bytes;
  std::byte* const target = run.is_put ? theirs : ours;
  const std::byte* const source = run.is_put ? ours : theirs;
  if (run.is_checked) {
    return block::crc32c_copy(target, source, run.block_bytes) == x_checksums[from];
  }
  std::memcpy(target, source, run.block_bytes);
  return true;
}

Result<report::Slice> Copier::run(const Run& run) {
  TARN_RETURN_IF_ERROR(check(run));
  TARN_RETURN_IF_ERROR(prepare(run));
  report::Slice slice;
  const int64_t cpu_before_ns = report::read_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  const int64_t begin_ns = now_ns();
  const int64_t end_ns = begin_ns + run.millis * 1'000'000;
  std::vector<int64_t> asked_ns(run.inflight, begin_ns);
  int64_t now = begin_ns;
  // The oldest of the window is always the next; past the end the window runs empty.
  for (uint64_t head = 0, left = run.inflight; left > 0; head = (head + 1) % run.inflight) {
    const bool is_intact = move_next(run);
    now = now_ns();
    if (is_intact) {
      ++slice.blocks;
      slice.bytes += run.block_bytes;
      slice.latency.add(static_cast<uint64_t>(now - asked_ns[head]));
    } else {
      ++slice.errors;
    }
    asked_ns[head] = now;
    if (now >= end_ns) --left;
  }
  slice.wall_ns = now - begin_ns;
  slice.cpu_ns = report::read_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_before_ns;
  return slice;
}

}  // namespace tarn::copying
