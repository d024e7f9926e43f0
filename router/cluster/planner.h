#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "router/cluster/server_table.h"
#include "router/member/authority.h"

namespace tarn::cluster {

// A next state, its epoch one higher, and what it changes, in words: "server-2 is down".
struct Change {
  member::ClusterState next;
  std::string words;
};

// Decides what the config should become, from the config and the heartbeats. Knows time only as it
// is told and does no I/O: the controller's whole judgement, for tests to drive by hand.
// One-thread. Rules:
//  - silent for dead_after: down. It leaves the slots in which another synced member answers;
//  - heard again under the same incarnation: up; under another: learner everywhere;
//  - new names wait `settle` for each other, then join in one epoch; so do learners that have
//    caught up, for promotion_batch, since each epoch makes slots take over anew;
//  - whoever has not looked for dead_after (started, stopped, just became controller) declares
//    nobody dead before another dead_after has passed.
class Planner {
 public:
  Planner(const Timing& timing, Instant now)
      : x_timing(timing), x_timers_from(now), x_looked(now) {}

  // Nobody counts as silent from before now.
  void restart_timers(Instant now);
  // The time until now went by in waiting for the authority: that is no standstill of ours.
  void note_waiting(Instant now) { x_looked = now; }

  // Returns: the change, or none when all is as it should be.
  std::optional<Change> plan(const member::ClusterState& state,
                             const std::vector<HeardServer>& heard, Instant now);

 private:
  struct Caught {
    Epoch epoch;
    Instant since;
  };

  const Timing x_timing;
  Instant x_timers_from;
  Instant x_looked;
  std::optional<Caught> x_caught;
};

}  // namespace tarn::cluster
