#include "server/object/store/pack_reader.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/block/checksum.h"
#include "server/object/pack/pack_format.h"

namespace tarn::object {
namespace {

uint64_t end_of(const flash::FlashPlace& place) {
  return place.offset + round_up(place.bytes, flash::kPageBytes);
}

}  // namespace

// Blocks that lie one behind the other, each behind the page that names it.
struct PackReader::Run {
  uint64_t number = 0;  // of the pack
  std::vector<flash::DriveRead> reads;
  std::vector<std::vector<std::byte>> pages;
  // Where a read's own memory ends before the payload's last page does.
  std::vector<std::byte> padding;
};

Status PackReader::read(flash::DriveRead read) {
  TARN_CHECK(read.into.size() >= read.place.bytes);
  if (!x_options.health->is_up()) return unavailable("object store: reads pause");
  bool is_first = false;
  {
    const MutexLock lock(x_mutex);
    if (x_waiting.size() >= kWaitingMax) return overloaded("object store: too many reads wait");
    is_first = x_waiting.empty();
    x_waiting.push_back(std::move(read));
  }
  if (is_first) x_options.client->loop().run([this] { begin_all(); });
  return Status::ok();
}

ReadCounts PackReader::counts() const {
  const MutexLock lock(x_mutex);
  return x_counts;
}

void PackReader::begin_all() {
  Reads reads;
  {
    const MutexLock lock(x_mutex);
    reads.swap(x_waiting);
  }
  std::ranges::stable_sort(reads, {}, [](const flash::DriveRead& read) {
    return std::pair(read.place.region, read.place.group);
  });
  while (!reads.empty())
    begin(take_run(reads));
}

std::shared_ptr<PackReader::Run> PackReader::take_run(Reads& reads) {
  const auto run = std::make_shared<Run>();
  const uint64_t from = reads.front().place.group;
  run->number = x_options.packs->at(reads.front().place.region).number;
  do {
    run->reads.push_back(std::move(reads.front()));
    reads.pop_front();
    const flash::FlashPlace& last = run->reads.back().place;
    const bool goes_on = !reads.empty() && reads.front().place.region == last.region &&
                         reads.front().place.group == end_of(last) &&
                         end_of(reads.front().place) - from <= kRunBytesMax;
    if (!goes_on) return run;
  } while (true);
}

void PackReader::begin(const std::shared_ptr<Run>& run) {
  if (run->number == 0) return on_bytes(*run, not_found("object store: the pack has gone"));
  S3Get get;
  get.key = pack_key(x_options.server, run->number);
  get.offset = run->reads.front().place.group;
  get.deadline = x_options.clock->now() + x_options.within;
  run->pages.resize(run->reads.size(), std::vector<std::byte>(flash::kPageBytes));
  run->padding.resize(flash::kPageBytes);
  for (size_t i = 0; i < run->reads.size(); ++i) {
    const flash::DriveRead& read = run->reads[i];
    const bool is_last = i + 1 == run->reads.size();
    get.into.emplace_back(run->pages[i]);
    get.into.push_back(read.into.first(read.place.bytes));
    const uint64_t rest = end_of(read.place) - read.place.offset - read.place.bytes;
    if (rest > 0 && !is_last) get.into.push_back(std::span(run->padding).first(rest));
  }
  get.done = [this, run](const Status& outcome) { on_bytes(*run, outcome); };
  {
    const MutexLock lock(x_mutex);
    ++x_counts.requests;
  }
  x_options.client->get(std::move(get));
}

void PackReader::on_bytes(Run& run, const Status& outcome) {
  x_options.health->on_outcome(outcome);
  if (outcome.code() == Code::not_found && run.number != 0)
    x_options.on_lost_pack(run.reads.front().place.region);
  for (size_t i = 0; i < run.reads.size(); ++i) {
    auto entry = outcome.is_ok() ? check(run, i) : Result<flash::Entry>(outcome);
    {
      const MutexLock lock(x_mutex);
      x_counts.blocks += entry.has_value() ? 1 : 0;
      x_counts.bytes += entry.has_value() ? run.reads[i].place.bytes : 0;
      x_counts.failures += entry.has_value() ? 0 : 1;
    }
    run.reads[i].done(std::move(entry), true);
  }
}

Result<flash::Entry> PackReader::check(const Run& run, size_t which) {
  const flash::DriveRead& read = run.reads[which];
  const flash::FlashPlace& place = read.place;
  const auto stamp = pack_stamp(x_options.server, run.number);
  const auto group = flash::decode_group(stamp, place.group, run.pages[which]);
  if (group && group->entries.size() == 1) {
    const flash::Entry& entry = group->entries.front();
    const bool is_it = entry.header.key == read.key && entry.offset == place.offset &&
                       entry.header.payload_bytes == place.bytes;
    const uint32_t crc = block::crc32c(0, read.into.data(), place.bytes);
    if (is_it && crc == entry.header.payload_crc) return entry;
  }
  // It was removed, or its pack has gone, between the look-up and now.
  if (!x_options.index->erase(read.key, place))
    return not_found("object store: the block lies there no more");
  const MutexLock lock(x_mutex);
  ++x_counts.corrupt;
  return corrupt("object store: what lies there is not the block");
}

}  // namespace tarn::object
