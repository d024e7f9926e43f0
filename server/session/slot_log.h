#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "proto/tarn/v1/sessions.pb.h"

namespace tarn::session {

// What a slot's log says of itself.
struct LogHead {
  uint64_t promised_epoch = 0;  // lower ones are refused
  uint64_t first_index = 1;     // of the oldest entry kept; what is before it is in the snapshot
  uint64_t last_index = 0;
  uint64_t last_epoch = 0;  // of the last entry, or of the snapshot
  // Learners that were told they hold the whole log: no append is acknowledged without them.
  std::vector<uint32_t> complete_learners;
};

// Several changes of one slot that become durable together.
struct LogChange {
  LogHead head;                                             // as it is after the change
  std::vector<v1::LogEntry> entries = {};                   // written at their indexes
  std::optional<v1::SlotSnapshot> snapshot = std::nullopt;  // replaces the old one
  uint64_t erase_from = 0, erase_to = 0;                    // entries [from, to) go first
};

// Who hears what about the disk. Called on the threads that write.
struct SlotLogHooks {
  std::function<void(Nanos)> on_fsync;            // how long each took
  std::function<void(const Status&)> on_suspect;  // once, when one has failed
};

// The logs of all slots of one server, in one RocksDB; every change is fsynced before it returns.
// Thread-safe; the caller orders changes of one slot. A failed fsync makes the store suspect: from
// then on every change is refused, since what a later one says about the disk could not be
// believed; the server has to leave the cluster, so that others go on without it. Opening the store
// again writes to it first.
class SlotLog {
 public:
  // Opens or creates the store in `folder`. Returns: ok, internal (disk), corrupt.
  static Result<std::unique_ptr<SlotLog>> open(const std::string& folder, SlotLogHooks hooks = {});
  ~SlotLog();

  // Drawn when the store was created: it says whether a returning server still has its logs.
  Incarnation incarnation() const;

  // All-zero for a slot that was never written. Returns: ok, corrupt.
  Result<LogHead> head(SlotId slot) const;
  // Entries from `from` (inclusive) on, at most `limit`. Returns: ok, corrupt.
  Result<std::vector<v1::LogEntry>> read(SlotId slot, uint64_t from, size_t limit) const;
  // Returns: ok (empty snapshot where there is none), corrupt.
  Result<v1::SlotSnapshot> snapshot(SlotId slot) const;

  // Durable when it returns ok. Returns: ok, unavailable (the disk refused; see the class). It may
  // be on the disk even so.
  Status commit(SlotId slot, const LogChange& change);
  // Forgets a slot whole. Returns: as commit.
  Status erase(SlotId slot, const LogHead& head);

 private:
  struct Impl;
  explicit SlotLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> x_impl;
};

}  // namespace tarn::session
