#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/metrics/registry.h"
#include "router/cluster/config_view.h"
#include "router/cluster/events.h"
#include "router/cluster/planner.h"
#include "router/cluster/server_table.h"
#include "router/member/authority.h"

namespace tarn::cluster {

// How often the controller looks when nothing wakes it.
inline constexpr Millis kControllerRound{25};
// How long it leaves an authority alone that has just failed.
inline constexpr Millis kAuthorityPause{200};
// Times that an operator's change is tried again when another change came first.
inline constexpr int kChangeAttempts = 8;

// Spaces that one router knows, and those of one tenant among them.
inline constexpr size_t kSpacesMax = 4096;
inline constexpr size_t kTenantSpacesMax = 64;

// All outlive the controller.
struct ControllerParts {
  const Clock& clock;
  member::Authority& authority;
  const ServerTable& servers;
  ConfigView& view;
  Events& events;
  metrics::Registry& registry;
};

struct ControllerOptions {
  std::string cluster;
  Timing timing;
};

// Keeps the config right. In each round it follows the authority into the view and, while this
// router holds the lock, proposes what its planner says. Without the authority everything goes on
// under the last config, and pending_change() says what waits. Thread-safe, but round() is for one
// thread: its own after start(), or a test's. Life: open, start, close (or the destructor).
class Controller {
 public:
  Controller(ControllerParts parts, ControllerOptions options);
  ~Controller();

  // Starts authority and thread; close() stops both.
  void start();
  void close();
  // One look at everything. May block as long as the authority does.
  void round();
  // Makes the next round come at once.
  void wake();

  // An operator's change: `edit` makes it on the newest state, and again if another came first; the
  // epoch is raised after it. Blocks. Any router may do this: the authority decides who was first.
  // Returns: the new config's epoch, what `edit` returns, unavailable.
  Result<Epoch> change(const std::function<Status(ring::ClusterConfig&)>& edit);

  // Has the authority remember a space, soon and if there is room; nothing waits for it. Beyond
  // kTenantSpacesMax spaces of its tenant it is not listed.
  void remember_space(const member::NamedSpace& space);
  // Those of one tenant that this router knows.
  std::vector<block::SpaceSpec> spaces(const std::string& tenant) const;
  std::optional<block::SpaceSpec> find_space(const std::string& tenant, const SpaceId& id) const;

  // What the authority's absence holds up; empty when nothing waits.
  std::string pending_change() const;
  bool is_controller() const { return x_parts.authority.holds_lock(); }

 private:
  void run();
  void follow();
  void propose();
  void propose_first(uint64_t revision);
  void write_spaces(const member::StoredState& stored);
  Result<uint64_t> swap(const member::ClusterState& next, uint64_t expected);
  void note_failure(const Status& status, const std::string& words);
  void set_pending(std::string words);
  void tell_changes(const ring::ClusterConfig* before, const ring::ClusterConfig& after);
  void note_space(const member::NamedSpace& space) TARN_REQUIRES(x_mutex);

  const ControllerParts x_parts;
  const ControllerOptions x_options;

  struct Metrics {
    explicit Metrics(metrics::Registry& registry);

    metrics::Gauge& epoch;
    metrics::Gauge& is_controller;
    metrics::Gauge& is_reachable;
    metrics::Gauge& is_pending;
    metrics::Counter& changes;
    metrics::Counter& failures;
  };
  void measure();

  Metrics x_metrics;

  // The round's own.
  uint64_t x_followed = 0;  // revision
  Planner x_planner;
  bool x_was_controller = false;
  Instant x_retry_at;

  mutable Mutex x_mutex;
  CondVar x_wake;
  bool x_is_woken TARN_GUARDED_BY(x_mutex) = false;
  bool x_is_closing TARN_GUARDED_BY(x_mutex) = false;
  std::string x_pending TARN_GUARDED_BY(x_mutex);
  std::vector<member::NamedSpace> x_spaces TARN_GUARDED_BY(x_mutex);
  std::thread x_thread;
};

}  // namespace tarn::cluster
