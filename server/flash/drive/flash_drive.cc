#include "server/flash/drive/flash_drive.h"

#include <poll.h>

#include <algorithm>
#include <future>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/thread_name.h"
#include "common/block/checksum.h"
#include "server/flash/log/region_list.h"
#include "server/io/page_buffer.h"

namespace tarn::flash {
namespace {

constexpr Nanos kStatsEvery = std::chrono::milliseconds(100);
// At the end what is under way has this long.
constexpr Nanos kDrainMax = std::chrono::seconds(2);

}  // namespace

struct FlashDrive::Writing {
  DriveWrite write;
  bool is_free = false;
};

struct FlashDrive::Reading {
  Reading(DriveRead wanted, size_t& reads_under_way)
      : read(std::move(wanted)),
        under_way(reads_under_way),
        page(kPageBytes),
        is_free(read.into.empty()) {
    ++under_way;
  }
  ~Reading() { --under_way; }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

  DriveRead read;
  size_t& under_way;
  RegionStamp stamp;
  io::PageBuffer page;  // that names the block
  uint32_t reads_left = 0;
  bool is_free;
  bool is_told = false;
  bool is_late = false;
  bool is_removal = false;
  bool is_second = false;  // the first has failed
  Status outcome;
};

struct FlashDrive::Counters {
  std::atomic<uint64_t> capacity_bytes{0};
  std::atomic<uint32_t> regions{0};
  std::atomic<uint32_t> regions_free{0};
  std::atomic<uint64_t> payload_bytes_written{0};
  std::atomic<uint64_t> bytes_written{0};
  std::atomic<uint64_t> blocks_moved{0};
  std::atomic<uint64_t> blocks_dropped{0};
  std::atomic<uint64_t> corrupt_blocks{0};
  std::atomic<uint64_t> errors{0};
  std::atomic<uint64_t> late{0};
  std::atomic<bool> is_writable{false};
};

Result<std::unique_ptr<FlashDrive>> FlashDrive::open(FlashDriveOptions options) {
  TARN_CHECK(options.index != nullptr && options.open != nullptr);
  TARN_ASSIGN_OR_RETURN(auto event, fabric::Event::open());
  auto drive = std::unique_ptr<FlashDrive>(
      new FlashDrive(std::move(options), std::make_shared<thread::Inbox>(std::move(event))));
  // The thread may still be in set_value() when this has the value.
  const auto opened = std::make_shared<std::promise<Status>>();
  auto outcome = opened->get_future();
  drive->x_thread = std::thread([raw = drive.get(), opened] {
    raw->run([opened](Status status) { opened->set_value(std::move(status)); });
  });
  TARN_RETURN_IF_ERROR(outcome.get());
  return drive;
}

FlashDrive::FlashDrive(FlashDriveOptions options, std::shared_ptr<thread::Inbox> inbox)
    : x_options(std::move(options)),
      x_clock(*x_options.clock),
      x_inbox(std::move(inbox)),
      x_counters(std::make_unique<Counters>()) {
  if (x_options.registry != nullptr) x_metrics.emplace(*x_options.registry, x_options.number);
}

FlashDrive::~FlashDrive() {
  close();
}

void FlashDrive::close() {
  x_stopping.store(true, std::memory_order_release);
  if (!x_thread.joinable()) return;
  x_inbox->post_answer([] {});
  x_thread.join();
}

void FlashDrive::run(std::function<void(Status)> opened) {
  set_thread_name("tarn-flash" + std::to_string(x_options.number));
  const Status recovered = recover();
  publish_stats();
  opened(recovered);
  if (recovered.is_ok()) serve();
  x_inbox->close();
  const Instant end = x_clock.now() + kDrainMax;
  x_inbox->run_all();
  const auto is_idle = [this] { return x_log->is_idle() && x_notes->is_idle(); };
  while (recovered.is_ok() && !is_idle() && x_clock.now() < end) {
    if (x_notes->turn() + x_log->turn() == 0) doze();
  }
  if (x_log != nullptr) x_log->close();
  // Calls back for what is still under way, so all it may call is still there.
  x_device.reset();
  x_notes.reset();
  x_log.reset();
  x_reclaimer.reset();
}

Status FlashDrive::recover() {
  TARN_ASSIGN_OR_RETURN(io::OpenDevice opened, x_options.open());
  x_device = std::move(opened.device);
  x_description = x_device->description();
  if (x_device->capacity_bytes() < io::kLabelAreaBytes + kDriveRegionsMin * kRegionBytes)
    return invalid_argument(x_description + ": smaller than " + std::to_string(kDriveRegionsMin) +
                            " regions of 128 MiB and 1 MiB");
  RegionLogOptions made;
  made.device = x_device.get();
  made.drive = opened.label.id;
  made.clock = &x_clock;
  made.deadline = x_options.deadline;
  x_log = std::make_unique<RegionLog>(made);
  x_options.index->add_drive(x_options.number, x_log->region_count());
  RemovalNotesOptions notes;
  notes.device = x_device.get();
  notes.drive = opened.label.id;
  notes.clock = &x_clock;
  notes.deadline = x_options.deadline;
  notes.epoch_of = [this](uint32_t region) {
    return region < x_log->region_count() ? x_log->durable_epoch_of(region) : UINT64_MAX;
  };
  x_notes = std::make_unique<RemovalNotes>(std::move(notes));
  TARN_RETURN_IF_ERROR(x_notes->recover());
  TARN_RETURN_IF_ERROR(x_log->recover([this](const LogPlace& place, const Entry& entry) {
    const auto page = static_cast<uint32_t>(place.offset / kPageBytes);
    if (!x_options.is_wanted(entry) || x_notes->holds({place.epoch, place.region, page})) return;
    (void)x_options.index->put(
        entry.header.key,
        {x_options.number, place.region, place.offset, place.group, entry.header.payload_bytes},
        entry.put_in);
  }));
  x_reclaimer = std::make_unique<Reclaimer>(
      *x_log, ReclaimerOptions{x_options.number, x_options.index, x_options.on_dropped,
                               [this](const FlashPlace& place) {
                                 note_removal(place, x_log->stamp_of(place.region).epoch);
                               },
                               x_options.below});
  return Status::ok();
}

void FlashDrive::serve() {
  Instant stats_due = x_clock.now();
  while (!x_stopping.load(std::memory_order_acquire)) {
    size_t done = x_inbox->run_all();
    done += x_notes->turn();
    done += x_log->turn();
    done += x_reclaimer->tick() ? 1 : 0;
    if (const Instant now = x_clock.now(); now >= stats_due) {
      publish_stats();
      stats_due = now + kStatsEvery;
    }
    if (done == 0) doze();
  }
}

void FlashDrive::doze() {
  const auto left = std::chrono::duration_cast<Millis>(x_device->next_deadline() - x_clock.now());
  pollfd ready[2] = {{x_inbox->event_fd(), POLLIN, 0}, {x_device->event_fd(), POLLIN, 0}};
  ::poll(ready, 2, static_cast<int>(std::clamp<int64_t>(left.count() + 1, 1, 100)));
}

Status FlashDrive::write(DriveWrite write) {
  return x_inbox->post([this, write = std::move(write)]() mutable { begin(std::move(write)); });
}

Status FlashDrive::read(DriveRead read) {
  return x_inbox->post([this, read = std::move(read)]() mutable { begin(std::move(read)); });
}

Status FlashDrive::remove(DriveRead removal) {
  TARN_CHECK(removal.into.empty());
  if (x_stopping.load(std::memory_order_acquire)) return unavailable("the drive is closing");
  x_inbox->post_answer([this, removal = std::move(removal)]() mutable {
    const auto reading = std::make_shared<Reading>(std::move(removal), x_reads);
    reading->is_removal = true;
    begin(reading);
  });
  return Status::ok();
}

void FlashDrive::note_removal(const FlashPlace& place, uint64_t epoch) {
  if (epoch == 0) return;  // it is being trimmed
  const auto page = static_cast<uint32_t>(place.offset / kPageBytes);
  if (!x_notes->add({epoch, place.region, page}))
    log::warn("a removed block may come back with a restart: the drive has no room for the note");
}

void FlashDrive::begin(DriveWrite write) {
  const auto writing = std::make_shared<Writing>();
  writing->write = std::move(write);
  LogBlock block;
  block.entry = writing->write.entry;
  block.lifetime = writing->write.lifetime;
  block.payload = writing->write.payload;
  block.hold = std::shared_ptr<const void>(nullptr, [writing](std::nullptr_t) {
    writing->is_free = true;
    if (writing->write.done == nullptr) writing->write.freed();
  });
  const Status taken = x_log->append(std::move(block), [this, writing](Result<LogPlace> place) {
    on_kept(writing, std::move(place));
  });
  if (!taken.is_ok()) on_kept(writing, taken);
}

void FlashDrive::on_kept(const std::shared_ptr<Writing>& writing, Result<LogPlace> place) {
  if (place) {
    const block::BlockHeader& header = writing->write.entry.header;
    (void)x_options.index->put(
        header.key,
        {x_options.number, place->region, place->offset, place->group, header.payload_bytes},
        writing->write.entry.put_in);
    x_payload_written += header.payload_bytes;
    x_reclaimer->on_put(header.payload_bytes);
  }
  const auto done = std::exchange(writing->write.done, nullptr);
  done(place.status(), writing->is_free);
}

void FlashDrive::begin(DriveRead read) {
  if (x_reads >= kReadsMax) return read.done(overloaded("flash: too many reads of a drive"), true);
  begin(std::make_shared<Reading>(std::move(read), x_reads));
}

void FlashDrive::begin(const std::shared_ptr<Reading>& reading) {
  reading->reads_left = reading->read.into.empty() ? 1 : 2;
  reading->is_free = reading->read.into.empty();
  reading->outcome = Status::ok();
  const FlashPlace& place = reading->read.place;
  reading->stamp = x_log->stamp_of(place.region);
  const auto start = [&](uint64_t offset, std::span<std::byte> into, std::function<void()> freed) {
    const auto on_end = [this, reading](Status status) {
      reading->is_late |= status.code() == Code::deadline_exceeded;
      if (reading->outcome.is_ok()) reading->outcome = std::move(status);
      --reading->reads_left;
      on_read(reading);
    };
    const LogPlace from = {place.region, reading->stamp.epoch, offset, place.group};
    const Status taken = x_log->read(from, into, freed, on_end);
    if (taken.is_ok()) return;
    freed();
    on_end(taken);
  };
  start(place.group, reading->page.bytes(), [reading] {});
  if (reading->read.into.empty()) return;
  start(place.offset, reading->read.into, [this, reading] {
    reading->is_free = true;
    if (reading->is_told) return reading->read.freed();
    on_read(reading);
  });
}

// The memory is free right after the outcome, unless the drive is late.
void FlashDrive::on_read(const std::shared_ptr<Reading>& reading) {
  if (reading->reads_left > 0 || reading->is_told) return;
  const bool is_freed_soon = !reading->is_late && !x_stopping.load(std::memory_order_acquire);
  if (!reading->is_free && (is_freed_soon || reading->outcome.is_ok())) return;
  if (tries_again(reading)) return;
  reading->is_told = true;
  // At the end of the drive all reads fail.
  const bool is_ending = x_stopping.load(std::memory_order_acquire);
  if (reading->outcome.code() == Code::unavailable && !is_ending) forget(*reading);
  if (reading->outcome.code() == Code::not_found)
    (void)x_options.index->erase(reading->read.key, reading->read.place);
  auto entry = reading->outcome.is_ok() ? check(*reading) : Result<Entry>(reading->outcome);
  // Where the drive does not say what lies there, it may be what was removed.
  const bool is_gone = entry.status().code() == Code::not_found;
  if (reading->is_removal && !is_gone) note_removal(reading->read.place, reading->stamp.epoch);
  reading->read.done(std::move(entry), reading->is_free);
}

// A drive that fails a read may do better; one that hangs is not asked again.
bool FlashDrive::tries_again(const std::shared_ptr<Reading>& reading) {
  const bool has_failed = reading->outcome.code() == Code::unavailable && reading->is_free;
  if (!has_failed || reading->is_second || x_stopping.load(std::memory_order_acquire)) return false;
  reading->is_second = true;
  begin(reading);
  return true;
}

// Nobody will get it: it is no copy that a put or a class may count. Told where the drive can still
// say what it was.
void FlashDrive::forget(const Reading& reading) {
  const DriveRead& read = reading.read;
  if (!x_options.index->erase(read.key, read.place)) return;
  ++x_corrupt;
  const auto group = decode_group(reading.stamp, read.place.group, reading.page.bytes());
  if (!group) return;
  const auto found = std::ranges::find_if(
      group->entries, [&](const Entry& entry) { return entry.header.key == read.key; });
  if (found != group->entries.end()) x_options.on_dropped({found->header});
}

Result<Entry> FlashDrive::check(const Reading& reading) {
  const DriveRead& read = reading.read;
  const auto group = decode_group(reading.stamp, read.place.group, reading.page.bytes());
  const auto is_it = [&](const Entry& entry) {
    return entry.header.key == read.key && entry.offset == read.place.offset &&
           entry.header.payload_bytes == read.place.bytes;
  };
  if (group) {
    const auto found = std::ranges::find_if(group->entries, is_it);
    const bool is_intact =
        found != group->entries.end() &&
        (read.into.empty() ||
         block::crc32c(0, read.into.data(), read.place.bytes) == found->header.payload_crc);
    if (is_intact) return *found;
  }
  // Its region has begun anew, or it was removed, between the look-up and now.
  if (!x_options.index->hits_at(read.key, read.place))
    return not_found("flash: the block lies there no more");
  forget(reading);
  return corrupt("flash: what lies there is not the block");
}

// --- what lies there

struct FlashDrive::Answer {
  Mutex mutex;
  CondVar changed;
  std::optional<Result<std::vector<Entry>>> entries TARN_GUARDED_BY(mutex);
};

Result<std::vector<Entry>> FlashDrive::entries_of(uint32_t region) {
  const auto answer = std::make_shared<Answer>();
  TARN_RETURN_IF_ERROR(x_inbox->post([this, answer, region] {
    list_region(*x_log, region, [answer](Result<std::vector<Entry>> entries) {
      const MutexLock lock(answer->mutex);
      answer->entries = std::move(entries);
      answer->changed.notify_all();
    });
  }));
  const MutexLock lock(answer->mutex);
  while (!answer->entries) {
    if (x_stopping.load(std::memory_order_acquire)) return unavailable("the drive is closing");
    (void)answer->changed.wait_for(answer->mutex, kStatsEvery);
  }
  return std::move(*answer->entries);
}

Status FlashDrive::list(const std::function<bool(const block::BlockHeader&)>& visit) {
  const uint32_t regions = x_counters->regions.load(std::memory_order_relaxed);
  for (uint32_t region = 0; region < regions; ++region) {
    if (x_options.index->use_of(x_options.number, region).live_blocks == 0) continue;
    const auto entries = entries_of(region);
    if (!entries && entries.error().code() == Code::unavailable && x_stopping)
      return entries.error();
    if (!entries) continue;
    for (const Entry& entry : *entries) {
      const FlashPlace place = {x_options.number, region, entry.offset, 0, 0};
      const bool is_there = x_options.index->hits_at(entry.header.key, place).has_value();
      if (is_there && !visit(entry.header)) return Status::ok();
    }
  }
  return Status::ok();
}

void FlashDrive::publish_stats() {
  if (x_log == nullptr || x_device == nullptr) return;
  const io::DeviceHealth health = x_device->health();
  Counters& counters = *x_counters;
  counters.capacity_bytes = x_device->capacity_bytes();
  counters.regions = x_log->region_count();
  counters.regions_free = x_log->counts().free;
  counters.payload_bytes_written = x_payload_written;
  counters.bytes_written = x_log->bytes_written();
  counters.blocks_moved = x_reclaimer == nullptr ? 0 : x_reclaimer->moved();
  counters.blocks_dropped = x_reclaimer == nullptr ? 0 : x_reclaimer->dropped();
  counters.corrupt_blocks = x_corrupt;
  counters.errors = health.errors;
  counters.late = health.late;
  counters.is_writable = health.writable.is_ok();
  if (x_metrics) x_metrics->publish(stats());
}

DriveStats FlashDrive::stats() const {
  const Counters& counters = *x_counters;
  return {counters.capacity_bytes, counters.regions,
          counters.regions_free,   counters.payload_bytes_written,
          counters.bytes_written,  counters.blocks_moved,
          counters.blocks_dropped, counters.corrupt_blocks,
          counters.errors,         counters.late,
          counters.is_writable};
}

}  // namespace tarn::flash
