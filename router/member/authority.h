#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/block/space.h"
#include "common/ring/config.h"

namespace tarn::member {

// A space that a tenant has opened. Value type.
struct NamedSpace {
  std::string tenant;
  block::SpaceSpec spec;

  friend bool operator==(const NamedSpace&, const NamedSpace&) = default;
};

// Spaces that the authority remembers for all routers; more are known to the router that was asked.
inline constexpr size_t kNamedSpacesMax = 256;

// All that the authority keeps: the config, and what only routers need. Value type.
struct ClusterState {
  ring::ClusterConfig config;
  uint32_t next_server_id = 1;
  std::vector<NamedSpace> spaces;
  // Fields of a newer router's, as they were read: who does not know them must not lose them.
  std::string unknown_fields;

  friend bool operator==(const ClusterState&, const ClusterState&) = default;
};

// A state and the revision to name when it is replaced. No state has the revision 0.
struct StoredState {
  std::optional<ClusterState> state;
  uint64_t revision = 0;
};

// No call below blocks for longer than this.
inline constexpr Millis kAuthorityTimeout{1000};

// Who decides what the cluster's config is, and which router proposes it: etcd, or a folder. The
// seam behind which both stand. Thread-safe. Life: open; start once; stop (or the destructor).
// While it cannot be reached, latest() stays what it was; it comes back by itself.
class Authority {
 public:
  virtual ~Authority() = default;

  // Begins to follow the state and to campaign for the controller's lock. `changed` is called on a
  // thread of the authority's whenever latest(), holds_lock() or reachable() may have changed; it
  // must not block.
  virtual void start(std::function<void()> changed) = 0;

  // Gives the lock back and joins the threads: `changed` is not called after it. May be called
  // again.
  virtual void stop() = 0;

  // Reads the state as it is now. Blocks. Returns: ok, unavailable, corrupt.
  virtual Result<StoredState> load() = 0;

  // Puts `state` in place of the one of revision `expected` (0: there must be none). Blocks until
  // it is kept. Returns: the new revision; conflict when another was there; unavailable, after
  // which it may have happened all the same: load before trying again; invalid_argument.
  virtual Result<uint64_t> compare_and_swap(const ClusterState& state, uint64_t expected) = 0;

  // The newest state that was read or swapped in; null before the first one was read. Never blocks.
  virtual std::shared_ptr<const StoredState> latest() const = 0;

  // True while this router is the controller. At most one router is at a time, as far as clocks run
  // at one speed; what must not happen twice is decided by compare_and_swap.
  virtual bool holds_lock() const = 0;

  // Whether the last call to it went through.
  virtual bool reachable() const = 0;

  // "etcd http://127.0.0.1:2379", "file /var/lib/tarn/config".
  virtual std::string describe() const = 0;
};

struct AuthorityOptions {
  std::string address;  // "etcd:http://HOST:PORT[,HOST:PORT...]" or "file:FOLDER"
  std::string cluster;  // one etcd can keep several
  std::string router;   // who campaigns; a restarted router of this name takes its own lock over
};

// Does not wait for etcd to answer. Returns: the authority, invalid_argument for an address that is
// none, unavailable for a folder that cannot be made.
Result<std::unique_ptr<Authority>> open_authority(const AuthorityOptions& options);

}  // namespace tarn::member
