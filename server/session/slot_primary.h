#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ring/config.h"
#include "server/session/slot_member.h"

namespace tarn::session {

// How a slot's primary reaches the other members. Blocking, each call ended by its own deadline.
// Thread-safe.
struct Peers {
  std::function<Result<v1::ReplicateResponse>(ServerId, const v1::ReplicateRequest&)> replicate;
  std::function<Result<v1::ConfirmResponse>(ServerId, const v1::ConfirmRequest&)> confirm;
  std::function<Result<v1::ReadLogResponse>(ServerId, const v1::ReadLogRequest&)> read_log;
};

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
// open, and the next command settles it by taking over again. Thread-safe; calls wait for peers,
// within the peers' deadlines.
class SlotPrimary {
 public:
  SlotPrimary(SlotId slot, SlotMember& member, const Peers& peers, const Clock& clock)
      : x_slot(slot), x_member(member), x_peers(peers), x_clock(clock) {}

  // Outcomes: those of the operation; unavailable (members unreachable: the outcome may be open),
  // stale_epoch.
  v1::SessionResult execute(const SlotView& view, const v1::SessionCommand& command);

  // Calls `visit` for sessions of the slot. Returns: ok, unavailable, stale_epoch.
  Status list(const SlotView& view, const v1::ListSlotRequest& request,
              const std::function<bool(const v1::Manifest&)>& visit);

  // Gives learners that lack it the whole log. Returns: ok, or why one could not be served.
  Status teach_learners(const SlotView& view);

 private:
  Status ready(const SlotView& view);
  Status take_over(const SlotView& view);
  Status adopt_longest(const SlotView& view, const LogHead& own);
  Status spread_tail(const SlotView& view, const v1::LogEntry& tail);
  Status send(ServerId to, const v1::ReplicateRequest& request);
  Result<v1::SessionResult> commit(const SlotView& view, const v1::SessionCommand& command);
  Status teach(const SlotView& view, ServerId learner);
  Status confirm(const SlotView& view);
  Status confirm_round(const SlotView& view);
  std::vector<ServerId> required(const SlotView& view) const;

  const SlotId x_slot;
  SlotMember& x_member;
  const Peers& x_peers;
  const Clock& x_clock;

  std::mutex x_mutex;  // one command at a time; held while waiting for peers
  uint64_t x_ready_epoch = 0;
  SessionTable x_table;  // all committed entries, while ready
  std::vector<uint32_t> x_complete_learners;

  // Rounds of confirm(), shared by all reads that began before the round did.
  std::mutex x_round_mutex;
  std::condition_variable x_round_ended;
  uint64_t x_rounds_begun = 0;
  uint64_t x_rounds_ended = 0;
  Status x_round_status;
};

}  // namespace tarn::session
