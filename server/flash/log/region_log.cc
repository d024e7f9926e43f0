#include "server/flash/log/region_log.h"

#include <poll.h>

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/block/checksum.h"

namespace tarn::flash {
namespace {

// Regions that are looked at together while a drive is recovered.
constexpr size_t kRecoverTogether = 64;

std::span<const std::byte> bytes_of(const std::shared_ptr<io::PageBuffer>& buffer) {
  return std::as_const(*buffer).bytes();
}

}  // namespace

RegionLog::RegionLog(RegionLogOptions options) : x_options(options), x_device(*options.device) {
  const uint64_t bytes = x_device.capacity_bytes();
  TARN_CHECK(bytes >= io::kLabelAreaBytes + kRegionBytes);
  x_regions.resize((bytes - io::kLabelAreaBytes) / kRegionBytes);
  x_heads[0].lifetime = Lifetime::brief;
  x_heads[1].lifetime = Lifetime::lasting;
}

RegionLog::~RegionLog() {
  close();
}

void RegionLog::close() {
  x_is_closed = true;
  for (Head& head : x_heads)
    refuse_waiting(head, unavailable("flash: the drive is being closed"));
}

uint64_t RegionLog::offset_of(uint32_t region) const {
  return io::kLabelAreaBytes + uint64_t{region} * kRegionBytes;
}

io::IoOptions RegionLog::io_options(io::IoQueue queue, std::shared_ptr<const void> hold) const {
  return {queue, x_options.clock->now() + x_options.deadline,
          [hold = std::move(hold)]() mutable { hold.reset(); }};
}

// --- recovery

void RegionLog::read_now(uint64_t offset, const Buffer& into, Status* outcome) {
  ++x_reads_left;
  const Status taken = x_device.read(offset, into->bytes(), io_options(io::IoQueue::read, into),
                                     [this, outcome](Status status) {
                                       x_is_late |= status.code() == Code::deadline_exceeded;
                                       *outcome = std::move(status);
                                       --x_reads_left;
                                     });
  if (taken.is_ok()) return;
  *outcome = taken;
  --x_reads_left;
}

void RegionLog::wait_for_reads() {
  x_device.poll();
  while (x_reads_left > 0) {
    pollfd ready = {x_device.event_fd(), POLLIN, 0};
    const auto left =
        std::chrono::duration_cast<Millis>(x_device.next_deadline() - x_options.clock->now());
    ::poll(&ready, 1, static_cast<int>(std::clamp<int64_t>(left.count() + 1, 1, 1000)));
    x_device.poll();
  }
}

Status RegionLog::recover(const Found& found) {
  const Status late = unavailable("flash: the drive does not answer");
  TARN_ASSIGN_OR_RETURN(Headers headers, find_regions());
  if (x_is_late) return late;
  std::ranges::sort(headers, {}, [](const RegionHeader& each) { return each.stamp.epoch; });
  // The header of the latest life may have been wiped: no epoch is used twice.
  x_epoch = static_cast<uint64_t>(std::max<int64_t>(0, x_options.clock->unix_ms()));
  if (!headers.empty()) x_epoch = std::max(x_epoch, headers.back().stamp.epoch);
  for (const RegionHeader& header : headers)
    x_regions[header.stamp.region] = {State::closed, header.stamp.epoch, header.stamp.epoch, 0};
  for (size_t first = 0; first < headers.size(); first += kRecoverTogether)
    tell_regions(
        std::span(headers).subspan(first, std::min(kRecoverTogether, headers.size() - first)),
        found);
  if (x_is_late) return late;
  for (uint32_t region = 0; region < x_regions.size(); ++region)
    if (x_regions[region].state == State::free) x_free.push_back(region);
  return Status::ok();
}

Result<RegionLog::Headers> RegionLog::find_regions() {
  Headers headers;
  for (uint32_t first = 0; first < x_regions.size(); first += kRecoverTogether) {
    const size_t count = std::min(kRecoverTogether, x_regions.size() - first);
    std::vector<Buffer> pages(count);
    std::vector<Status> read(count);
    for (uint32_t i = 0; i < count; ++i) {
      pages[i] = std::make_shared<io::PageBuffer>(kPageBytes);
      read_now(offset_of(first + i), pages[i], &read[i]);
    }
    wait_for_reads();
    if (x_is_late) return headers;
    for (uint32_t i = 0; i < count; ++i) {
      if (!read[i].is_ok()) {
        log::warn("region {} cannot be read and is not used: {}", first + i, read[i].to_string());
        x_regions[first + i].state = State::unusable;
        continue;
      }
      const auto header = decode_header(bytes_of(pages[i]), x_options.drive, first + i);
      if (header) headers.push_back(*header);
      if (header.status().code() == Code::unsupported) return header.status();
    }
  }
  return headers;
}

// By their footers, all at once; those that have none are scanned.
void RegionLog::tell_regions(std::span<const RegionHeader> headers, const Found& found) {
  std::vector<Buffer> footers(headers.size());
  std::vector<Status> read(headers.size());
  const auto begin = [&](size_t i, uint64_t bytes) {
    footers[i] = std::make_shared<io::PageBuffer>(bytes);
    read_now(offset_of(headers[i].stamp.region) + kRegionBytes - bytes, footers[i], &read[i]);
  };
  for (size_t i = 0; i < headers.size(); ++i)
    begin(i, kPageBytes);
  wait_for_reads();
  for (size_t i = 0; i < headers.size(); ++i) {
    if (!read[i].is_ok()) continue;
    const auto bytes = decode_footer_bytes(headers[i].stamp, bytes_of(footers[i]));
    if (!bytes) {
      read[i] = bytes.status();
    } else if (*bytes > kPageBytes) {
      begin(i, *bytes);
    }
  }
  wait_for_reads();
  for (size_t i = 0; i < headers.size() && !x_is_late; ++i) {
    const auto entries = read[i].is_ok() ? decode_footer(headers[i].stamp, bytes_of(footers[i]))
                                         : Result<std::vector<Entry>>(read[i]);
    if (entries) {
      tell(headers[i], *entries, found);
    } else {
      scan(headers[i], found);
    }
  }
}

// Groups that nobody was told to be kept may lack their payloads. They are among the last ones, and
// must not hide an older copy of a block.
void RegionLog::scan(const RegionHeader& header, const Found& found) {
  const auto page = std::make_shared<io::PageBuffer>(kPageBytes);
  std::deque<Group> last;
  for (uint64_t at = kPageBytes; at + kPageBytes < kRegionBytes;) {
    Status read;
    read_now(offset_of(header.stamp.region) + at, page, &read);
    wait_for_reads();
    auto group = read.is_ok() ? decode_group(header.stamp, at, bytes_of(page)) : read;
    if (!group) break;
    at = group->end;
    last.push_back(std::move(*group));
    if (last.size() <= kGroupsMax) continue;
    tell(header, last.front().entries, found);
    last.pop_front();
  }
  const Found found_whole = [&](const LogPlace& place, const Entry& entry) {
    if (is_whole(header, entry)) found(place, entry);
  };
  for (const Group& group : last)
    tell(header, group.entries, found_whole);
}

bool RegionLog::is_whole(const RegionHeader& header, const Entry& entry) {
  const auto payload = std::make_shared<io::PageBuffer>(entry.header.payload_bytes);
  Status read;
  read_now(offset_of(header.stamp.region) + entry.offset, payload, &read);
  wait_for_reads();
  const auto bytes = bytes_of(payload).first(entry.header.payload_bytes);
  return read.is_ok() && block::crc32c(0, bytes.data(), bytes.size()) == entry.header.payload_crc;
}

void RegionLog::tell(const RegionHeader& header, std::span<const Entry> entries,
                     const Found& found) {
  uint64_t group = 0;
  uint64_t end = 0;
  for (const Entry& entry : entries) {
    // Where a payload does not follow another one, its group's page lies between them.
    if (entry.offset != end) group = entry.offset - kPageBytes;
    end = entry.offset + stored_bytes(entry);
    found({header.stamp.region, header.stamp.epoch, entry.offset, group}, entry);
  }
}

// --- appending

Status RegionLog::append(LogBlock block, Kept kept) {
  const uint64_t bytes = block.entry.header.payload_bytes;
  if (bytes == 0 || bytes > kBlockBytesMax || block.payload.size() != bytes)
    return invalid_argument("flash: the payload has not the size that its header says");
  if (x_is_closed) return unavailable("flash: the drive is being closed");
  TARN_RETURN_IF_ERROR(x_device.health().writable);
  Head& head = x_heads[static_cast<size_t>(block.lifetime)];
  if (head.open == nullptr && x_free.empty()) return overloaded("flash: no region is free");
  if (x_waiting_bytes + bytes > x_options.waiting_bytes_max)
    return overloaded("flash: too many bytes wait to be written");
  x_waiting_bytes += bytes;
  head.waiting.push_back({std::move(block), std::move(kept)});
  return Status::ok();
}

size_t RegionLog::turn() {
  size_t done = 0;
  for (;;) {
    const size_t told = x_device.poll();
    bool goes_on = told > 0;
    for (Head& head : x_heads)
      goes_on = advance(head) || goes_on;
    if (!goes_on) return done;
    ++done;
  }
}

// True when something began.
bool RegionLog::advance(Head& head) {
  if (head.open != nullptr && !head.open->broken.is_ok() && head.open->groups.empty()) {
    close_region(head);
    return true;
  }
  if (head.waiting.empty()) return false;
  if (head.open == nullptr) return begin_region(head);
  if (!head.open->is_begun || !head.open->broken.is_ok()) return false;
  return head.open->groups.size() < kGroupsMax && begin_group(head);
}

bool RegionLog::begin_region(Head& head) {
  if (x_free.empty()) {
    refuse_waiting(head, overloaded("flash: no region is free"));
    return false;
  }
  const uint32_t region = x_free.front();
  x_free.pop_front();
  x_regions[region].state = State::open;
  x_regions[region].epoch = ++x_epoch;
  const auto open = head.open = std::make_shared<Open>();
  open->stamp = {x_options.drive, region, x_epoch};
  const auto page = std::make_shared<io::PageBuffer>(kPageBytes);
  encode_header({open->stamp, head.lifetime}, Page(page->bytes()));
  const auto begun = [this, open](Status status) {
    open->is_begun = status.is_ok();
    if (open->is_begun) x_regions[open->stamp.region].durable_epoch = open->stamp.epoch;
    open->broken = std::move(status);
  };
  // Durable before its first group: an older header would stand for an older life.
  const Status taken = write({region, 0}, page->bytes(), page, [this, begun](Status status) {
    if (status.is_ok()) status = x_device.flush(io_options(io::IoQueue::destage, nullptr), begun);
    if (!status.is_ok()) begun(std::move(status));
  });
  if (!taken.is_ok()) begun(taken);
  return true;
}

bool RegionLog::begin_group(Head& head) {
  const auto open = head.open;
  std::vector<Entry> entries;
  uint64_t bytes = 0;
  for (const Waiting& each : head.waiting) {
    bytes += stored_bytes(each.block.entry);
    if (!entries.empty() && (bytes > kGroupBytesMax || entries.size() == kGroupEntriesMax)) break;
    entries.push_back(each.block.entry);
  }
  const size_t placed = open->plan.place(entries);
  if (placed == 0) {
    // Full: its footer follows when all of it is acknowledged.
    if (!open->groups.empty()) return false;
    close_region(head);
    return true;
  }
  const auto group = std::make_shared<Appended>();
  for (size_t i = 0; i < placed; ++i) {
    Waiting& waiting = head.waiting.front();
    waiting.block.entry = entries[i];
    x_waiting_bytes -= entries[i].header.payload_bytes;
    group->blocks.push_back(std::move(waiting));
    head.waiting.pop_front();
  }
  open->groups.push_back(group);
  write_group(open, group);
  return true;
}

void RegionLog::write_group(const std::shared_ptr<Open>& open,
                            const std::shared_ptr<Appended>& group) {
  const uint32_t region = open->stamp.region;
  const auto page = std::make_shared<io::PageBuffer>(kPageBytes);
  std::vector<Entry> entries;
  for (const Waiting& each : group->blocks)
    entries.push_back(each.block.entry);
  const uint64_t at = entries.front().offset - kPageBytes;
  encode_group(open->stamp, at, entries, Page(page->bytes()));
  const auto on_end = [this, open, group](const Status& status) {
    on_written(open, group, status);
  };
  group->writes_left = 1 + group->blocks.size();
  const auto begin = [&](uint64_t offset, std::span<const std::byte> bytes,
                         std::shared_ptr<const void> hold) {
    const Status taken = write({region, offset}, bytes, std::move(hold), on_end);
    if (!taken.is_ok()) on_end(taken);
  };
  begin(at, page->bytes(), page);
  for (size_t i = 0; i < entries.size(); ++i) {
    LogBlock& block = group->blocks[i].block;
    begin(entries[i].offset, {block.payload.data(), stored_bytes(entries[i])},
          std::move(block.hold));
  }
}

void RegionLog::on_written(const std::shared_ptr<Open>& open,
                           const std::shared_ptr<Appended>& group, const Status& outcome) {
  if (group->outcome.is_ok()) group->outcome = outcome;
  if (--group->writes_left > 0) return;
  if (!group->outcome.is_ok()) return end_group(open, group, group->outcome);
  const Status taken =
      x_device.flush(io_options(io::IoQueue::destage, nullptr),
                     [this, open, group](Status status) { end_group(open, group, status); });
  if (!taken.is_ok()) end_group(open, group, taken);
}

void RegionLog::end_group(const std::shared_ptr<Open>& open, const std::shared_ptr<Appended>& group,
                          const Status& outcome) {
  group->outcome = outcome;
  group->has_ended = true;
  acknowledge(*open);
}

// In the order of the log: a scan ends at the first group that is not whole.
void RegionLog::acknowledge(Open& open) {
  while (!open.groups.empty() && open.groups.front()->has_ended) {
    const auto group = open.groups.front();
    open.groups.pop_front();
    if (open.broken.is_ok()) open.broken = group->outcome;
    const uint64_t page = group->blocks.front().block.entry.offset - kPageBytes;
    for (Waiting& each : group->blocks) {
      const Entry& entry = each.block.entry;
      if (open.broken.is_ok()) open.kept.push_back(entry);
      each.kept(open.broken.is_ok() ? Result<LogPlace>(LogPlace{open.stamp.region, open.stamp.epoch,
                                                                entry.offset, page})
                                    : Result<LogPlace>(open.broken));
    }
  }
}

// The footer spares a scan; without it nothing is lost.
void RegionLog::close_region(Head& head) {
  const auto open = std::exchange(head.open, nullptr);
  const uint32_t region = open->stamp.region;
  const bool is_unusable = !open->is_begun && open->broken.code() == Code::unavailable;
  x_regions[region].state = is_unusable ? State::unusable : State::closed;
  if (!open->is_begun) refuse_waiting(head, open->broken);
  if (!x_device.health().writable.is_ok()) return;
  const auto footer = std::make_shared<io::PageBuffer>(footer_bytes(open->kept.size()));
  encode_footer(open->stamp, open->kept, footer->bytes());
  const uint64_t at = kRegionBytes - footer->bytes().size();
  const Status taken = write({region, at}, footer->bytes(), footer, [](Status status) {
    if (!status.is_ok()) log::warn("a region has no footer: {}", status.to_string());
  });
  if (!taken.is_ok()) log::warn("a region has no footer: {}", taken.to_string());
}

void RegionLog::refuse_waiting(Head& head, const Status& why) {
  for (Waiting& each : std::exchange(head.waiting, {})) {
    x_waiting_bytes -= each.block.entry.header.payload_bytes;
    each.kept(why);
  }
}

Status RegionLog::write(Spot at, std::span<const std::byte> from, std::shared_ptr<const void> hold,
                        io::IoDone done) {
  x_bytes_written += from.size();
  io::IoOptions options = io_options(io::IoQueue::destage, nullptr);
  options.freed = [this, at, hold = std::move(hold)]() mutable {
    --x_regions[at.region].under_way;
    hold.reset();
  };
  TARN_RETURN_IF_ERROR(
      x_device.write(offset_of(at.region) + at.offset, from, std::move(options), std::move(done)));
  ++x_regions[at.region].under_way;
  return Status::ok();
}

// --- reading and reclaiming

Status RegionLog::read(const LogPlace& place, std::span<std::byte> into,
                       std::function<void()> freed, io::IoDone done) {
  const auto is_there = [this, place] {
    return place.region < x_regions.size() && place.epoch > 0 &&
           x_regions[place.region].epoch == place.epoch;
  };
  if (!is_there()) return not_found("flash: the region has a new life");
  if (place.offset < kPageBytes || into.size() > kRegionBytes ||
      place.offset > kRegionBytes - into.size())
    return invalid_argument("flash: no such place in a region");
  io::IoOptions options = {io::IoQueue::read, x_options.clock->now() + x_options.deadline,
                           std::move(freed)};
  return x_device.read(offset_of(place.region) + place.offset, into, std::move(options),
                       [is_there, done = std::move(done)](Status status) {
                         if (status.is_ok() && !is_there())
                           status = not_found("flash: the region has a new life");
                         done(std::move(status));
                       });
}

Status RegionLog::reclaim(uint32_t region, io::IoDone done) {
  if (region >= x_regions.size() || !may_reclaim(region))
    return conflict("flash: region " + std::to_string(region) + " is not one to reclaim");
  const auto page = std::make_shared<io::PageBuffer>(kPageBytes);
  std::ranges::fill(page->bytes(), std::byte{0});
  const auto wiped = [this, region, done](Status status) {
    if (status.is_ok()) return trim(region, done);
    stop_reclaiming(region, status);
    done(std::move(status));
  };
  // Durable before it is free: a file keeps what is trimmed, and a restart would find it again.
  TARN_RETURN_IF_ERROR(write({region, 0}, bytes_of(page), page, [this, wiped](Status status) {
    if (status.is_ok()) status = x_device.flush(io_options(io::IoQueue::reclaim, nullptr), wiped);
    if (!status.is_ok()) wiped(std::move(status));
  }));
  x_regions[region].state = State::trimming;
  x_regions[region].epoch = 0;
  return Status::ok();
}

void RegionLog::trim(uint32_t region, io::IoDone done) {
  // A trim that is late would hit what is written next.
  io::IoOptions options = io_options(io::IoQueue::reclaim, nullptr);
  options.freed = [this, region] {
    x_regions[region].state = State::free;
    x_free.push_back(region);
  };
  const Status taken = x_device.discard(offset_of(region), kRegionBytes, std::move(options), done);
  if (taken.is_ok()) return;
  stop_reclaiming(region, taken);
  done(taken);
}

void RegionLog::stop_reclaiming(uint32_t region, const Status& why) {
  const bool is_tried_again =
      why.code() == Code::deadline_exceeded || why.code() == Code::overloaded;
  x_regions[region].state = is_tried_again ? State::closed : State::unusable;
}

RegionStamp RegionLog::stamp_of(uint32_t region) const {
  return {x_options.drive, region, x_regions[region].epoch};
}

RegionCounts RegionLog::counts() const {
  RegionCounts counts;
  for (const Region& region : x_regions) {
    counts.free += region.state == State::free ? 1 : 0;
    counts.open += region.state == State::open ? 1 : 0;
    counts.closed += region.state == State::closed ? 1 : 0;
  }
  return counts;
}

bool RegionLog::is_idle() const {
  return x_device.is_idle() && std::ranges::all_of(x_heads, [](const Head& head) {
           return head.waiting.empty() && (head.open == nullptr || head.open->groups.empty());
         });
}

}  // namespace tarn::flash
