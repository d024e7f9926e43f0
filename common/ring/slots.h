#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/ring/config.h"

// The controller's moves on the slot table. Each is a pure function of a valid config: it gives the
// next table, which the controller proposes with the next epoch. None ever gives a slot that has a
// history to a server without it.
namespace tarn::ring {

// Synced members that every slot should have now: kSyncedTarget, or all servers that are up if
// there are fewer.
uint32_t synced_target(const ClusterConfig& config);

// True when the slot can answer: its primary is synced and is up or draining.
bool slot_is_available(const ClusterConfig& config, SlotId slot);

// Gives each slot that was never assigned a primary and synced_target - 1 further synced members,
// in distinct domains where there are any, so that primaries and copies are spread by weight. Slots
// in use and lost slots stay as they are. Without a server that is up nothing changes.
SlotTable assign_slots(const ClusterConfig& config);

enum class SlotState : uint8_t {
  unused,   // never assigned
  ok,       // its primary may answer
  waiting,  // no synced member is up or draining; one that comes back with its log mends it
  lost,     // no synced member is left
};

std::string_view slot_state_name(SlotState state);

// Precondition: the slot is one of the config's.
SlotState slot_state(const ClusterConfig& config, SlotId slot);

struct AbandonOptions {
  bool even_waiting = false;  // also give up logs that a member which is down may still have
};

// An operator gives up what the slots held: they are assigned as if they never had been, and begin
// empty under `epoch`, that of the config which this table goes into. A server that comes back with
// an older log is not believed. Returns: the table; invalid_argument for a number that is no slot's
// or no number at all; conflict naming the first slot that is not to be given up.
Result<SlotTable> abandon_slots(const ClusterConfig& config, const std::vector<SlotId>& slots,
                                Epoch epoch, const AbandonOptions& options = {});

// The server is dead, or has drained: it leaves each slot in which another synced member is up or
// draining, and where it was primary that one becomes it. Where none is, it stays and the slot is
// unavailable until a synced member comes back: all of them hold every acknowledged append, so
// whichever is first will do. Hence, to be called again for each member that is down whenever
// another comes back.
SlotTable remove_member(const ClusterConfig& config, ServerId id);

// The server came back under another incarnation, so without its logs: it leaves all lists and is a
// learner from then on. Where it was the last synced member the slot is lost (see SlotEntry).
SlotTable forget_incarnation(const ClusterConfig& config, ServerId id);

// Moves at most moves_max primaries to other synced members: off members that are not up, then so
// that primaries are spread by weight. For after a drain begins and after a server has come back.
SlotTable balance_primaries(const ClusterConfig& config, uint32_t moves_max = kSessionSlots);

struct LearnerOptions {
  // Learners that one server may have at a time; more wait for a later call.
  uint32_t per_server_max = kSessionSlots;
  // Also gives slots of the most loaded servers to servers that have fewer than their share.
  bool rebalance = false;
};

// Adds the learners that bring each slot in use back to synced_target members that are up, in
// distinct domains where there are any. Learners that are no longer up are dropped.
SlotTable add_learners(const ClusterConfig& config, const LearnerOptions& options = {});

// The learner has the whole log and becomes synced. Members beyond the target are let go then:
// those that are not up first, then those in a domain that the slot has twice, then the most
// loaded; if that takes the primary, a synced member that is up becomes it.
// Returns: the table, not_found if the server is no learner of the slot or the slot is none,
// unavailable if the slot has no synced member or the learner is not up.
Result<SlotTable> promote_learner(const ClusterConfig& config, SlotId slot, ServerId id);

}  // namespace tarn::ring
