#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/ring/config.h"
#include "server/session/session_metrics.h"
#include "server/session/slot_log.h"
#include "server/session/slot_member.h"
#include "server/session/slot_primary.h"

namespace tarn::session {

struct SlotStoreOptions {
  std::string folder;  // of the logs
  Peers peers;
  const Clock* clock = &system_clock();
  // How often the primary looks for learners to teach; 0: only teach_learners() does.
  Millis teach_interval{100};
  // Sessions of one slot that would take more are refused.
  uint64_t slot_bytes_max = kSlotBytesMax;
  // Outlives the store; none: nobody asks.
  metrics::Registry* registry = nullptr;
  // An fsync has failed: this server can hold no sessions until it has restarted on a sound disk.
  // Called once, on the thread that wrote.
  std::function<void(const Status&)> on_suspect;
};

// Commands (and lists) that one server works on at a time; further ones are overloaded. They wait
// for other servers, whose calls to this one need threads of their own meanwhile.
inline constexpr int kCommandsMax = 96;

// All session slots of one storage server: its logs, its part as member, its work as primary.
// Thread-safe; execute and list wait for peers, until their deadline. Limit: kCommandsMax. Life:
// open, set_config whenever the config changes, destroy (ends its thread "tarn-slots").
class SlotStore {
 public:
  // Returns: ok, internal (disk), corrupt.
  static Result<std::unique_ptr<SlotStore>> open(SlotStoreOptions options);
  ~SlotStore();

  Incarnation incarnation() const { return x_log->incarnation(); }
  // Epochs only rise, until forget_config: then the next config may be of any epoch. What the logs
  // have promised stays promised.
  void set_config(std::shared_ptr<const ring::ClusterConfig> config, ServerId self);
  void forget_config();

  v1::SessionResult execute(const v1::SessionCommand& command, Instant deadline = kNever);
  // Sessions of the tenant in all slots that this server is primary of, in order of id.
  // Returns: ok, unavailable, stale_epoch, overloaded, deadline_exceeded.
  Result<v1::ListSessionsResponse> list(const v1::ListSlotRequest& request,
                                        Instant deadline = kNever);

  v1::ReplicateResponse replicate(const v1::ReplicateRequest& request);
  v1::ConfirmResponse confirm(const v1::ConfirmRequest& request);
  v1::ReadLogResponse read_log(const v1::ReadLogRequest& request);

  // Slots of which this server, a learner in the present config, was told that it holds the whole
  // log.
  std::vector<uint32_t> caught_up_slots() const;

  // Gives learners of the slots that this server is primary of what they lack; ends early when the
  // config changes, and goes on behind that slot the next time. One caller at a time.
  void teach_learners();

 private:
  struct Slot {
    Slot(SlotId id, SlotLog& log, const SlotPrimary::Needs& needs)
        : member(id, log), primary(id, member, needs) {}
    SlotMember member;
    SlotPrimary primary;
    std::atomic<uint64_t> complete_epoch{
        0};  // in which the primary told us that we hold the whole log
  };
  struct Config {
    std::shared_ptr<const ring::ClusterConfig> cluster;
    ServerId self;
  };

  explicit SlotStore(SlotStoreOptions options);
  void adopt(std::unique_ptr<SlotLog> log);
  v1::SessionResult execute_counted(const v1::SessionCommand& command, Instant deadline);
  Result<v1::ListSessionsResponse> list_counted(const v1::ListSlotRequest& request,
                                                Instant deadline);
  Config config() const;
  SlotView view_of(const Config& config, uint32_t slot) const;
  void keep_caught_up(const ring::ClusterConfig& before, const ring::ClusterConfig& after);
  void run();

  const SlotStoreOptions x_options;
  metrics::Registry x_own_registry;
  SessionMetrics x_metrics;
  std::unique_ptr<SlotLog> x_log;
  std::atomic<int> x_running = 0;  // commands and lists
  std::vector<std::unique_ptr<Slot>> x_slots;
  uint32_t x_next_lesson = 0;  // of teach_learners alone

  mutable Mutex x_mutex;
  CondVar x_wake;
  Config x_config TARN_GUARDED_BY(x_mutex);
  bool x_stopping TARN_GUARDED_BY(x_mutex) = false;
  std::thread x_thread;
};

}  // namespace tarn::session
