#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ring/config.h"
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
};

// All session slots of one storage server: its logs, its part as member, its work as primary.
// Thread-safe; execute and list wait for peers. Life: open, set_config whenever the config changes,
// destroy (ends its thread "tarn-slots").
class SlotStore {
 public:
  // Returns: ok, internal (disk), corrupt.
  static Result<std::unique_ptr<SlotStore>> open(SlotStoreOptions options);
  ~SlotStore();

  Incarnation incarnation() const { return x_log->incarnation(); }
  void set_config(std::shared_ptr<const ring::ClusterConfig> config, ServerId self);

  v1::SessionResult execute(const v1::SessionCommand& command);
  // Sessions of the tenant in all slots that this server is primary of, in order of id.
  Result<v1::ListSessionsResponse> list(const v1::ListSlotRequest& request);

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
    Slot(SlotId id, SlotLog& log, const Peers& peers, const Clock& clock)
        : member(id, log), primary(id, member, peers, clock) {}
    SlotMember member;
    SlotPrimary primary;
    std::atomic<uint64_t> complete_epoch{
        0};  // in which the primary told us that we hold the whole log
  };
  struct Config {
    std::shared_ptr<const ring::ClusterConfig> cluster;
    ServerId self;
  };

  SlotStore(SlotStoreOptions options, std::unique_ptr<SlotLog> log);
  Config config() const;
  SlotView view_of(const Config& config, uint32_t slot) const;
  void keep_caught_up(const ring::ClusterConfig& before, const ring::ClusterConfig& after);
  void run();

  SlotStoreOptions x_options;
  std::unique_ptr<SlotLog> x_log;
  std::vector<std::unique_ptr<Slot>> x_slots;
  uint32_t x_next_lesson = 0;  // of teach_learners alone

  mutable std::mutex x_mutex;  // guards what follows
  Config x_config;
  std::condition_variable x_wake;
  bool x_stopping = false;
  std::thread x_thread;
};

}  // namespace tarn::session
