#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/ring/config.h"

namespace tarn::cluster {

// Names of storage servers that one router listens to.
inline constexpr size_t kServersMax = ring::kMembersMax;

// When servers beat and what their silence means.
struct Timing {
  Millis interval{150};
  Millis dead_after{600};
  Millis settle{300};           // new servers wait for each other this long
  Millis promotion_batch{200};  // so do learners that have caught up
};

// How busy a storage server is, in its own words.
struct ServerLoad {
  uint64_t dram_bytes = 0;
  uint64_t dram_used_bytes = 0;
  uint64_t stored_payload_bytes = 0;
  uint64_t blocks = 0;
};

// One heartbeat of a storage server.
struct ServerBeat {
  std::string name;
  std::string control_endpoint;
  Incarnation incarnation;
  uint32_t weight = ring::kWeightOne;
  std::string domain;
  uint32_t lanes = 1;
  Epoch epoch;  // of the config that it runs
  bool draining = false;
  ServerLoad load;
  std::vector<SlotId> caught_up_slots;
};

// A server as this router has heard of it.
struct HeardServer {
  ServerBeat beat;      // the latest
  Instant first_heard;  // since it was last silent for dead_after
  Instant last_heard;
};

// The latest heartbeat of each storage server. Thread-safe. Limit: kServersMax names; those that
// have been silent longest make room.
class ServerTable {
 public:
  ServerTable(const Clock& clock, Millis dead_after) : x_clock(clock), x_dead_after(dead_after) {}

  // Returns: ok; invalid_argument naming the field; exists while another incarnation beats under
  // the same name; overloaded when kServersMax servers beat.
  Status beat(const ServerBeat& beat);

  // Its stream has ended: from now on another incarnation may take the name. It is not dead yet.
  void part(const std::string& name, Incarnation incarnation);

  std::vector<HeardServer> all() const;

 private:
  struct Entry {
    HeardServer heard;
    bool has_parted = false;
  };

  bool is_silent(const Entry& entry, Instant now) const TARN_REQUIRES(x_mutex);
  bool make_room(Instant now) TARN_REQUIRES(x_mutex);

  const Clock& x_clock;
  const Millis x_dead_after;
  mutable Mutex x_mutex;
  std::map<std::string, Entry> x_entries TARN_GUARDED_BY(x_mutex);
};

}  // namespace tarn::cluster
