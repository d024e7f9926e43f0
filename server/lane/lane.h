#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/fabric/fabric.h"
#include "server/lane/backups.h"
#include "server/lane/block_service.h"
#include "server/lane/fabric_metrics.h"
#include "server/lane/tier_metrics.h"
#include "server/store/dram_tier.h"
#include "server/store/event_log.h"
#include "server/thread/inbox.h"
#include "server/tiers/tiered_store.h"

namespace tarn::lane {

struct LaneOptions {
  uint16_t lane = 0;
  uint16_t lane_count = 1;
  Nanos spin{0};                      // how long a lane without work polls before it sleeps
  std::optional<uint32_t> processor;  // that it stays on; none: any
  store::SlotAllocatorOptions memory;
  store::Descent* descent = nullptr;  // of all lanes; outlives them. Null: this is the only lane
  std::function<void(const store::MakeWay&)> on_blocked;  // as of DramTierOptions
  flash::FlashDrives* drives = nullptr;                   // outlive the lane; null: no flash
  object::ObjectStore* object = nullptr;                  // outlives the lane; null: none
  Epoch floors_known;                 // of the config whose floors the drives were recovered under
  store::EventLog* events = nullptr;  // outlives the lane
  metrics::Registry* registry = nullptr;  // outlives the lane
  WireUp wire_up;                         // called on the lane's thread
  std::vector<std::unique_ptr<fabric::Port>> ports;
  const Clock* clock = &system_clock();
};

// What others may know of a lane. Value type.
struct LaneStats {
  store::TierUsage dram;
  uint64_t put_bytes = 0;
  uint64_t get_bytes = 0;
  uint64_t connections = 0;
  // Of the last second or so.
  uint64_t put_bytes_per_s = 0;
  uint64_t get_bytes_per_s = 0;
  uint32_t get_p50_us = 0;  // from a get's arrival to the end of a block's send, since the start
};

// One thread of a storage server with everything that it owns: its ports, its part of the dram and
// its queue. Other threads reach it by post() and call() alone. Thread-safe but where said. Life:
// open (starts the thread), use, close (joins it), destroy. Blocks only to sleep, on the events of
// its ports and its inbox. Limits: Inbox::kCapacity, and those of the parts.
class Lane {
 public:
  // Returns: the lane, unavailable (no event, no epoll).
  static Result<std::unique_ptr<Lane>> open(LaneOptions options);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Hands work to the lane's thread. Returns: ok, overloaded, unavailable (closed).
  Status post(thread::Inbox::Task task) { return x_inbox->post(std::move(task)); }
  // The same for what nobody would repeat; see Inbox.
  Status post_news(thread::Inbox::Task task) { return x_inbox->post_news(std::move(task)); }

  // The same, and waits for its end. Returns: what the task returned, overloaded, unavailable,
  // deadline_exceeded (it runs later nevertheless, so what it refers to must live until then).
  Status call(std::function<Status()> task, Nanos timeout);

  // Adds the connection at this lane; returns when it can send. Codes as of BlockService::add_peer,
  // unsupported where the lane has no port of its fabric, and those of call.
  Status add_peer(PeerSpec spec, Nanos timeout);
  Status remove_peer(uint64_t connection_id);
  // The same for whoever holds it. Returns: ok, not_found (none, or another tenant's), as call.
  Status remove_peer_of(uint64_t connection_id, std::string tenant, Nanos timeout);
  Status set_view(ClusterViewPtr view);
  // How long after their end tickets are honoured: longer while no router can be reached.
  Status set_ticket_grace(Millis grace);

  // Another lane wants blocks to go that continue one of its own. Returns: as post.
  Status make_way(const store::MakeWay& wanted);

  // Blocks that flash, or the object store, has dropped: their copies elsewhere go too, unless dram
  // has them.
  Status on_dropped(std::vector<block::BlockHeader> headers);

  // For the blocks in dram of the range, about `limit` of them at a time.
  struct ScanChunk {
    std::vector<block::BlockHeader> blocks;
    std::optional<Position> next;
  };
  Result<ScanChunk> scan(store::PositionRange range, size_t limit, Nanos timeout);

  LaneStats stats() const;

  // Address and kind of each port, as they were at the start.
  struct PortInfo {
    fabric::Kind kind = fabric::Kind::loop;
    std::string address;
    std::string transport;
  };
  const std::vector<PortInfo>& ports() const { return x_port_infos; }

  // Ends all connections and joins the thread. Idempotent.
  void close();

 private:
  Lane(LaneOptions options, std::shared_ptr<thread::Inbox> inbox, int epoll_fd);

  void run();
  size_t turn();
  void drain_and_leave();
  void doze();
  bool arm_all();
  void watch(int fd);
  fabric::Port* port_of(fabric::Kind kind);
  std::function<void()> keep(fabric::Bytes bytes);
  Status connect_peer(const PeerSpec& spec);
  void publish_stats(Instant now);
  void publish_rates(Instant now);
  void publish_fabric();
  bool has_below() const { return x_options.drives != nullptr || x_options.object != nullptr; }
  store::DramTierOptions dram_options();
  tiers::TieredStoreOptions tiers_options();
  void on_dram_change(const store::BlockChange& change);
  void on_flash_change(const store::BlockChange& change);

  LaneOptions x_options;
  const Clock& x_clock;
  std::shared_ptr<thread::Inbox> x_inbox;
  const int x_epoll_fd;
  std::vector<PortInfo> x_port_infos;
  LaneMetrics x_metrics;
  FabricMetrics x_fabric_metrics;
  TierMetrics x_tier_metrics;
  store::DramTier x_tier;
  tiers::TieredStore x_store;
  Desk x_desk;
  Backups x_backups;
  BlockService x_service;
  std::vector<int> x_watched;
  Instant x_stats_due{0};
  // What the rates were taken from last.
  struct Sample {
    Instant at{0};
    uint64_t put_bytes = 0;
    uint64_t get_bytes = 0;
  } x_sample;
  std::atomic<bool> x_stopping{false};
  std::atomic<uint64_t> x_memory_bytes{0};
  std::atomic<uint64_t> x_payload_bytes{0};
  std::atomic<uint64_t> x_blocks{0};
  std::atomic<uint64_t> x_connections{0};
  std::atomic<uint64_t> x_put_bytes_per_s{0};
  std::atomic<uint64_t> x_get_bytes_per_s{0};
  std::thread x_thread;
};

}  // namespace tarn::lane
