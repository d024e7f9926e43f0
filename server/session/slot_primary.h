#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/ring/config.h"
#include "server/session/session_metrics.h"
#include "server/session/slot_member.h"
#include "server/session/slot_turn.h"

namespace tarn::session {

// How a slot's primary reaches the other members. Blocking; each call ends by its deadline, after
// some time of its own, or at once when the config says that the member does not answer.
// Thread-safe.
struct Peers {
  template <typename Request, typename Response>
  using Call = std::function<Result<Response>(ServerId, const Request&, Instant deadline)>;

  Call<v1::ReplicateRequest, v1::ReplicateResponse> replicate;
  Call<v1::ConfirmRequest, v1::ConfirmResponse> confirm;
  Call<v1::ReadLogRequest, v1::ReadLogResponse> read_log;
};

// Bytes that the sessions of one slot may take. A learner gets them in one message, with the
// entries that came after them: 4 MiB until the log is compacted, and the largest command.
inline constexpr uint64_t kSlotBytesMax = 32 << 20;
inline constexpr uint64_t kCommandBytesMax = 16 << 20;
inline constexpr int kSlotMessageBytesMax = 64 << 20;
static_assert(kSlotBytesMax + kLogBytesMax + kCommandBytesMax < kSlotMessageBytesMax);

// The slot as the config of one epoch sees it.
struct SlotView {
  uint64_t epoch = 0;
  ServerId self;
  ring::SlotEntry entry;

  bool is_primary() const { return entry.primary == self && self.value != 0; }
};

// Runs a slot's sessions while the config names this server its primary. Before the first command
// of an epoch it takes over: it learns from all synced members, adopts the longest log, stamps its
// end with the epoch everywhere. A command is acknowledged when all synced members (and learners
// that were told they are complete) have it on disk. Whatever fails in between leaves the outcome
// open, and the next command settles it by taking over again. Thread-safe; calls wait for each
// other and for peers, until their deadline or until the config has moved on. Limit: kSlotQueueMax.
class SlotPrimary {
 public:
  struct Needs {
    const Peers& peers;
    const Clock& clock;
    const SessionMetrics& metrics;
    uint64_t slot_bytes_max = kSlotBytesMax;
  };

  SlotPrimary(SlotId slot, SlotMember& member, const Needs& needs)
      : x_slot(slot), x_member(member), x_needs(needs), x_turn(needs.clock) {}

  // The newest epoch that this server knows: what was begun under another gives up its turn.
  void set_newest_epoch(uint64_t epoch) { x_turn.set_newest_epoch(epoch); }

  // Outcomes: those of the operation; unavailable (members unreachable, or the deadline came: the
  // outcome may be open), stale_epoch, overloaded.
  v1::SessionResult execute(const SlotView& view, const v1::SessionCommand& command,
                            Instant deadline);

  // Calls `visit` for sessions of the slot. Returns: ok, unavailable, stale_epoch, overloaded,
  // deadline_exceeded.
  Status list(const SlotView& view, const v1::ListSlotRequest& request, Instant deadline,
              const std::function<bool(const v1::Manifest&)>& visit);

  // Gives learners that lack it the whole log. Returns: ok, or why one could not be served.
  Status teach_learners(const SlotView& view);

 private:
  v1::SessionResult execute_in_turn(const SlotView& view, const v1::SessionCommand& command)
      TARN_REQUIRES(x_turn);
  Status list_in_turn(const SlotView& view, const v1::ListSlotRequest& request,
                      const std::function<bool(const v1::Manifest&)>& visit) TARN_REQUIRES(x_turn);
  Status teach_in_turn(const SlotView& view) TARN_REQUIRES(x_turn);
  int64_t now_ms() const TARN_REQUIRES(x_turn);
  Status make_room(const v1::SessionCommand& command) TARN_REQUIRES(x_turn);
  void drop_expired() TARN_REQUIRES(x_turn);
  Status check_primary(const SlotView& view) const;
  Status ready(const SlotView& view) TARN_REQUIRES(x_turn);
  bool is_table_current(const SlotView& view) const TARN_REQUIRES(x_turn);
  Status take_over(const SlotView& view) TARN_REQUIRES(x_turn);
  Status adopt_longest(const SlotView& view, const LogHead& own) TARN_REQUIRES(x_turn);
  Status spread_tail(const SlotView& view, const v1::LogEntry& tail) TARN_REQUIRES(x_turn);
  Status send(ServerId to, const v1::ReplicateRequest& request) TARN_REQUIRES(x_turn);
  Result<v1::SessionResult> commit(const SlotView& view, const v1::SessionCommand& command)
      TARN_REQUIRES(x_turn);
  Status teach(const SlotView& view, ServerId learner) TARN_REQUIRES(x_turn);
  Status confirm(const SlotView& view, Instant deadline);
  Status confirm_round(const SlotView& view, Instant deadline);
  std::optional<Status> join_round(Instant deadline);
  void end_round(const Status& status, Instant deadline);
  static std::vector<ServerId> required(const SlotView& view, const std::vector<uint32_t>& told);

  const SlotId x_slot;
  SlotMember& x_member;
  const Needs x_needs;

  SlotTurn x_turn;                                      // held while waiting for peers
  Instant x_deadline TARN_GUARDED_BY(x_turn) = kNever;  // of the command that has the turn
  uint64_t x_ready_epoch TARN_GUARDED_BY(x_turn) = 0;
  ring::SlotEntry x_ready_entry TARN_GUARDED_BY(x_turn);
  SessionTable x_table TARN_GUARDED_BY(x_turn);   // all committed entries, while ready
  int64_t x_last_ms TARN_GUARDED_BY(x_turn) = 0;  // the time of the log: it never goes back
  uint64_t x_bytes TARN_GUARDED_BY(x_turn) = 0;   // of the sessions, at most
  Instant x_measured TARN_GUARDED_BY(x_turn);     // when x_bytes was exact
  std::vector<uint32_t> x_complete_learners TARN_GUARDED_BY(x_turn);

  // Rounds of confirm(), shared by all reads that began before the round did.
  Mutex x_round_mutex;
  CondVar x_round_ended;
  uint64_t x_rounds_begun TARN_GUARDED_BY(x_round_mutex) = 0;
  uint64_t x_rounds_ended TARN_GUARDED_BY(x_round_mutex) = 0;
  Status x_round_status TARN_GUARDED_BY(x_round_mutex);
  bool x_round_ran_out TARN_GUARDED_BY(x_round_mutex) = false;  // of its reader's time
};

}  // namespace tarn::session
