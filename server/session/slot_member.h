#pragma once

#include <optional>

#include "common/base/ids.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "proto/tarn/v1/sessions.pb.h"
#include "server/session/session_table.h"
#include "server/session/slot_log.h"

namespace tarn::session {

// Entries that a slot's log keeps after its snapshot before it is compacted.
inline constexpr uint64_t kLogEntriesMax = 256;

// Bytes of those entries, from which on it is compacted too.
inline constexpr uint64_t kLogBytesMax = 4 << 20;

// What a log's entries make.
struct LogState {
  SessionTable table;
  int64_t unix_ms = 0;  // of the last entry, whatever the clocks of its primaries said
};

// One slot's log on this server, as any member of the slot has it: it obeys whichever primary
// speaks at the highest epoch that it has promised to. Thread-safe; never waits for a peer.
// Invariant: promised_epoch only rises; entries before `from_index` of an accepted Replicate are
// committed on all synced members.
class SlotMember {
 public:
  SlotMember(SlotId slot, SlotLog& log) : x_slot(slot), x_log(log) {}

  // From the slot's primary. Outcomes: ok, stale_epoch (with ours), conflict (what came before is
  // not what we hold: send everything), internal.
  v1::ReplicateResponse replicate(const v1::ReplicateRequest& request);
  v1::ConfirmResponse confirm(const v1::ConfirmRequest& request);
  // Promises the request's epoch, then tells the head, and the log when from_index is not 0.
  v1::ReadLogResponse read_log(const v1::ReadLogRequest& request);

  // The primary's own side. `epoch` is its config's.

  // Refuses lower epochs from now on. Returns: ok, stale_epoch, internal.
  Result<LogHead> promise(uint64_t epoch);
  // Appends one entry at the end. Returns: its index, stale_epoch, internal.
  Result<v1::LogEntry> append(uint64_t epoch, v1::LogEntry entry);
  // Gives the last entry the primary's epoch. Returns: it (index 0 for an empty log), stale_epoch,
  // internal.
  Result<v1::LogEntry> restamp_last(uint64_t epoch);
  // Replaces everything by what another member sent. Returns: ok, stale_epoch, internal.
  Status install(uint64_t epoch, const v1::ReadLogResponse& from);
  // Everything, for a peer that lacks too much. Returns: ok, corrupt, internal.
  Result<v1::ReplicateRequest> whole(uint64_t epoch);
  // What all entries up to `index` make, as this epoch's primary left the log. Returns: ok,
  // stale_epoch (another one may have changed it), corrupt.
  Result<LogState> state_at(uint64_t epoch, uint64_t index) const;
  // Keeps what was told to learners across a restart. Returns: ok, internal.
  Status set_complete_learners(std::vector<uint32_t> learners);
  // Replaces the log before `committed` by a snapshot once it is long. Returns: ok, internal.
  Status compact(uint64_t committed);
  Result<LogHead> head() const;
  // The epoch of the entry (or snapshot) at `index`; 0 for index 0. Returns: ok, not_found,
  // corrupt.
  Result<uint64_t> epoch_at(uint64_t index) const;

 private:
  Result<LogHead> promise_locked(uint64_t epoch) TARN_REQUIRES(x_mutex);
  Status replicate_locked(const v1::ReplicateRequest& request) TARN_REQUIRES(x_mutex);
  Status replace_locked(const v1::ReplicateRequest& request, LogHead head) TARN_REQUIRES(x_mutex);
  Status check_previous(const v1::ReplicateRequest& request, const LogHead& head) const
      TARN_REQUIRES(x_mutex);
  Status compact_locked(uint64_t committed) TARN_REQUIRES(x_mutex);
  Result<LogState> state_locked(uint64_t index) const TARN_REQUIRES(x_mutex);
  Result<uint64_t> entry_bytes_locked(const LogHead& head) TARN_REQUIRES(x_mutex);
  Result<uint64_t> epoch_locked(uint64_t index) const TARN_REQUIRES(x_mutex);

  const SlotId x_slot;
  mutable Mutex x_mutex;
  std::optional<uint64_t> x_entry_bytes TARN_GUARDED_BY(x_mutex);  // none: to be counted
  SlotLog& x_log;  // x_mutex guards the order of this slot's changes and reads in it
};

}  // namespace tarn::session
