#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "server/flash/region_format.h"
#include "server/io/block_device.h"
#include "server/io/drive_label.h"
#include "server/io/page_buffer.h"

namespace tarn::flash {

// Where a payload lies on a drive, for as long as the region's life is this one. Value type.
struct LogPlace {
  uint32_t region = 0;
  uint64_t epoch = 0;
  uint64_t offset = 0;  // of the payload in the region
  uint64_t group = 0;   // of the page of entries that names it, in the region

  friend bool operator==(const LogPlace&, const LogPlace&) = default;
};

// A block that is to be kept. The memory begins at a multiple of kPageBytes, and is read up to the
// next multiple behind the payload.
struct LogBlock {
  Entry entry;  // its offset is the log's to set
  Lifetime lifetime = Lifetime::brief;
  std::span<const std::byte> payload;
  std::shared_ptr<const void> hold;  // dropped when the drive will not touch the memory any more
};

struct RegionCounts {
  uint32_t free = 0;
  uint32_t open = 0;    // at most one for each lifetime
  uint32_t closed = 0;  // full, or left by an earlier life of the server
};

struct RegionLogOptions {
  io::BlockDevice* device = nullptr;  // destroyed before the log: it calls back until then
  io::DriveId drive{};                // of its label
  const Clock* clock = &system_clock();
  Nanos deadline = std::chrono::seconds(10);  // of an operation of the drive
  uint64_t waiting_bytes_max = 64 * kMiB;     // of payloads that no region has taken yet
};

// The blocks of one drive as a log: groups are appended to an open region for each lifetime, full
// regions get a footer, and what is not wanted any more goes region by region. A block is
// acknowledged when it, and all that stands before it in its region, is durable: so the scan of a
// region that was open finds every acknowledged block. Whoever reads verifies the payload's
// checksum. One-thread (its lane's). Life: construct, recover(), use with turn() after each batch
// and whenever the device has something to do; destroy the device, then the log.
class RegionLog {
 public:
  // Groups of one region that are written at once.
  static constexpr size_t kGroupsMax = 4;
  static constexpr uint64_t kGroupBytesMax = 4 * kMiB;

  using Found = std::function<void(const LogPlace&, const Entry&)>;
  using Kept = std::function<void(Result<LogPlace>)>;

  explicit RegionLog(RegionLogOptions options);
  // Refuses what waits: unavailable.
  ~RegionLog();
  RegionLog(const RegionLog&) = delete;
  RegionLog& operator=(const RegionLog&) = delete;

  // Tells all blocks that lie on the drive, older regions first. Blocks on the drive. What cannot
  // be read is left out. Returns: ok, unsupported (a region of another format), unavailable (the
  // drive does not answer).
  Status recover(const Found& found);

  // Returns: ok, and `kept` is told later from turn(): the place, or why not; overloaded (no region
  // is free, or too much waits), invalid_argument, what the device's health says.
  Status append(LogBlock block, Kept kept);

  // Returns: ok, and `done` is told later: ok, not_found (the region has a new life), or what the
  // device says; or not_found, or what the device says, at once. `into` has the payload's bytes,
  // rounded up to kPageBytes, and is the drive's until `freed`.
  Status read(const LogPlace& place, std::span<std::byte> into, std::function<void()> freed,
              io::IoDone done);

  // No block of the region is wanted any more: its header is wiped, durably, then it is trimmed,
  // and free when the drive has done with that, which is when `done` is told unless the drive is
  // late. Where the header cannot be wiped the region is not used again; where the drive was late
  // it is one to reclaim again. Returns: ok, or conflict (not may_reclaim()), or what the device
  // says.
  Status reclaim(uint32_t region, io::IoDone done);

  // Refuses what waits, and what comes: unavailable. For use before the device is destroyed.
  void close();

  // Polls the device and begins what can begin; returns 0 when there was nothing to do.
  size_t turn();

  // ok, or why nothing is written any more.
  Status writable() const { return x_device.health().writable; }
  // All that was given to the device to write.
  uint64_t bytes_written() const { return x_bytes_written; }
  RegionCounts counts() const;
  // Of its present life, or its latest; epoch 0 where it had none, or it is being trimmed.
  RegionStamp stamp_of(uint32_t region) const;
  // Of the latest life that a restart would find, as far as that is known; 0 where it had none.
  uint64_t durable_epoch_of(uint32_t region) const { return x_regions[region].durable_epoch; }
  bool is_closed(uint32_t region) const { return x_regions[region].state == State::closed; }
  // Closed, and the drive has ended all that it was given to write there: a late write would land
  // in the region's next life.
  bool may_reclaim(uint32_t region) const {
    return is_closed(region) && x_regions[region].under_way == 0;
  }
  uint32_t region_count() const { return static_cast<uint32_t>(x_regions.size()); }
  // Nothing waits and nothing is under way.
  bool is_idle() const;

 private:
  enum class State : uint8_t { free, open, closed, trimming, unusable };
  struct Region {
    State state = State::free;
    uint64_t epoch = 0;          // of its latest life
    uint64_t durable_epoch = 0;  // of the latest whose header was durable
    uint32_t under_way = 0;      // writes that the drive has not ended
  };
  struct Waiting {
    LogBlock block;
    Kept kept;
  };
  struct Appended {
    std::vector<Waiting> blocks;
    size_t writes_left = 0;
    bool has_ended = false;
    Status outcome;
  };
  struct Open {
    RegionStamp stamp;
    RegionPlan plan;
    std::vector<Entry> kept;  // acknowledged
    std::deque<std::shared_ptr<Appended>> groups;
    bool is_begun = false;  // its header is durable
    Status broken;          // a group has failed: nothing follows it here
  };
  struct Head {
    Lifetime lifetime = Lifetime::brief;
    std::shared_ptr<Open> open;
    std::deque<Waiting> waiting;
  };
  using Headers = std::vector<RegionHeader>;
  // A late drive has the memory for longer than who waits for it.
  using Buffer = std::shared_ptr<io::PageBuffer>;

  uint64_t offset_of(uint32_t region) const;
  io::IoOptions io_options(io::IoQueue queue, std::shared_ptr<const void> hold) const;

  // Of recover(). They block.
  void read_now(uint64_t offset, const Buffer& into, Status* outcome);
  void wait_for_reads();
  Result<Headers> find_regions();
  void tell_regions(std::span<const RegionHeader> headers, const Found& found);
  void scan(const RegionHeader& header, const Found& found);
  bool is_whole(const RegionHeader& header, const Entry& entry);
  static void tell(const RegionHeader& header, std::span<const Entry> entries, const Found& found);

  bool advance(Head& head);
  bool begin_region(Head& head);
  bool begin_group(Head& head);
  void write_group(const std::shared_ptr<Open>& open, const std::shared_ptr<Appended>& group);
  void on_written(const std::shared_ptr<Open>& open, const std::shared_ptr<Appended>& group,
                  const Status& outcome);
  void end_group(const std::shared_ptr<Open>& open, const std::shared_ptr<Appended>& group,
                 const Status& outcome);
  void acknowledge(Open& open);
  void close_region(Head& head);
  void trim(uint32_t region, io::IoDone done);
  void stop_reclaiming(uint32_t region, const Status& why);
  void refuse_waiting(Head& head, const Status& why);
  // At an offset in the region.
  struct Spot {
    uint32_t region;
    uint64_t offset;  // in it
  };
  Status write(Spot at, std::span<const std::byte> from, std::shared_ptr<const void> hold,
               io::IoDone done);

  const RegionLogOptions x_options;
  io::BlockDevice& x_device;
  std::vector<Region> x_regions;
  std::deque<uint32_t> x_free;
  std::array<Head, 2> x_heads;
  uint64_t x_epoch = 0;  // the highest that the drive has seen
  uint64_t x_waiting_bytes = 0;
  uint64_t x_bytes_written = 0;
  size_t x_reads_left = 0;
  bool x_is_late = false;  // a read of recover()
  bool x_is_closed = false;
};

}  // namespace tarn::flash
