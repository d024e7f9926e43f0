#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "server/flash/drive/drive_metrics.h"
#include "server/flash/drive/reclaimer.h"
#include "server/flash/index/flash_index.h"
#include "server/flash/log/region_log.h"
#include "server/flash/log/removal_notes.h"
#include "server/io/open_device.h"
#include "server/thread/inbox.h"

namespace tarn::flash {

// A block that is to be kept. Callbacks come on the drive's thread.
struct DriveWrite {
  Entry entry;  // its offset is the log's to set
  Lifetime lifetime = Lifetime::brief;
  // Begins at a multiple of kPageBytes, and is read up to the next one behind its end.
  std::span<const std::byte> payload;
  // Once: ok, it is durable and in the index; overloaded, unavailable, deadline_exceeded. Where
  // `is_free` the drive touches the payload no more; else it says so later by freed(), but not
  // while it hangs.
  std::function<void(Status, bool is_free)> done;
  std::function<void()> freed;
};

// A block that is wanted back. Callbacks come on the drive's thread.
struct DriveRead {
  block::BlockKey key;
  FlashPlace place;  // as the index said
  // Begins at a multiple of kPageBytes; payload and padding. Empty: only the entry is wanted.
  std::span<std::byte> into;
  // Once: the block's entry, and the payload has its checksum; not_found (it lies there no more),
  // corrupt or unavailable (the drive fails to read it: the index has forgotten it), overloaded,
  // deadline_exceeded. is_free and freed() as above.
  std::function<void(Result<Entry>, bool is_free)> done;
  std::function<void()> freed;
};

// What others may know of a drive. Value type.
struct DriveStats {
  uint64_t capacity_bytes = 0;
  uint32_t regions = 0;
  uint32_t regions_free = 0;
  uint64_t payload_bytes_written = 0;  // of blocks that were put
  uint64_t bytes_written = 0;          // to the drive, whatever for
  uint64_t blocks_moved = 0;           // written again because their region was reclaimed
  uint64_t blocks_dropped = 0;         // with their region
  uint64_t corrupt_blocks = 0;
  uint64_t errors = 0;  // operations that the drive failed
  uint64_t late = 0;    // operations that it has not ended by their deadline
  bool is_writable = false;
};

struct FlashDriveOptions {
  // Opens the device. Called on the drive's thread, once.
  std::function<Result<io::OpenDevice>()> open;
  uint8_t number = 0;
  FlashIndex* index = nullptr;            // outlives the drive
  metrics::Registry* registry = nullptr;  // outlives it; null: no metrics
  // Of a recovered block: false where a floor has removed it.
  std::function<bool(const Entry&)> is_wanted = [](const Entry&) { return true; };
  // Blocks that have gone: with their region, or as the drive cannot read them. On the drive's
  // thread.
  std::function<void(std::vector<block::BlockHeader>)> on_dropped = [](auto) {};
  TierBelow below;                           // takes what it drops
  Nanos deadline = std::chrono::seconds(5);  // of one operation of the device
  const Clock* clock = &system_clock();
};

// One drive of a server with the thread that owns it: device, log and reclaim. There is one
// scheduler for each drive, whoever asks, so that a read never waits behind more writes than the
// device allows. Thread-safe. Life: open (starts the thread, finds what lies there), use, close
// (joins it), destroy. Limits: Inbox::kCapacity requests that it has not looked at.
class FlashDrive {
 public:
  static constexpr uint64_t kDriveRegionsMin = 3;  // one for each lifetime, and one that is free
  // Blocks that are read at once; more are overloaded, so that writes always have their turn.
  static constexpr size_t kReadsMax = 1024;

  // Blocks until all that lies on the drive is in the index. Returns: the drive, or what
  // io::open_device() and RegionLog::recover() say.
  static Result<std::unique_ptr<FlashDrive>> open(FlashDriveOptions options);
  ~FlashDrive();
  FlashDrive(const FlashDrive&) = delete;
  FlashDrive& operator=(const FlashDrive&) = delete;

  // Returns: ok, and the callbacks follow; overloaded, unavailable (closed).
  Status write(DriveWrite write);
  Status read(DriveRead read);
  // The block is found no more, here or after a restart. `into` of it is empty: the entry is told
  // to those who have to know what has gone. Never overloaded. Returns: ok, unavailable (closed).
  Status remove(DriveRead removal);

  // Every block that lies on the drive and is in the index, by region. Blocks the caller, on the
  // drive. Stops when `visit` says false. Returns: ok, unavailable (closed).
  Status list(const std::function<bool(const block::BlockHeader&)>& visit);

  DriveStats stats() const;
  const std::string& description() const { return x_description; }

  // What waits is ended, and the thread joined. Idempotent.
  void close();

 private:
  struct Reading;
  struct Writing;
  struct Counters;
  struct Answer;

  explicit FlashDrive(FlashDriveOptions options, std::shared_ptr<thread::Inbox> inbox);

  void run(std::function<void(Status)> opened);
  Status recover();
  void serve();
  void doze();
  void begin(DriveWrite write);
  void begin(DriveRead read);
  void begin(const std::shared_ptr<Reading>& reading);
  void note_removal(const FlashPlace& place, uint64_t epoch);
  bool tries_again(const std::shared_ptr<Reading>& reading);
  void forget(const Reading& reading);
  void on_kept(const std::shared_ptr<Writing>& writing, Result<LogPlace> place);
  void on_read(const std::shared_ptr<Reading>& reading);
  Result<Entry> check(const Reading& reading);
  Result<std::vector<Entry>> entries_of(uint32_t region);
  void publish_stats();

  const FlashDriveOptions x_options;
  const Clock& x_clock;
  const std::shared_ptr<thread::Inbox> x_inbox;
  std::string x_description;
  // The thread's: made, used and ended there.
  std::unique_ptr<io::BlockDevice> x_device;
  std::unique_ptr<RegionLog> x_log;
  std::unique_ptr<RemovalNotes> x_notes;
  std::unique_ptr<Reclaimer> x_reclaimer;
  size_t x_reads = 0;  // that have memory of somebody
  uint64_t x_corrupt = 0;
  uint64_t x_payload_written = 0;
  const std::unique_ptr<Counters> x_counters;
  std::optional<DriveMetrics> x_metrics;
  std::atomic<bool> x_stopping{false};
  std::thread x_thread;
};

}  // namespace tarn::flash
