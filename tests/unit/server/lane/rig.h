#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/fabric/link.h"
#include "common/fabric/link_table.h"
#include "common/fabric/loop_port.h"
#include "server/lane/block_service.h"
#include "server/store/dram_tier.h"
#include "server/store/event_log.h"

namespace tarn::lane {

inline constexpr int64_t kHourMs = 3'600'000;

// The config of servers "s1", "s2"..., each in a domain of its own unless told otherwise.
ring::ClusterConfig make_config(uint64_t epoch, uint32_t servers,
                                const std::vector<std::string>& domains = {});

// One lane without a thread, on a loop port named after its server, driven by the test.
class LaneRig {
 public:
  struct Memory {
    uint64_t cap_bytes = 128ull << 20;
    size_t events_max = store::EventLog::kCapacityDefault;
  };
  LaneRig(fabric::LoopHub& hub, const Clock& clock, std::string name, WireUp wire_up = {});
  LaneRig(fabric::LoopHub& hub, const Clock& clock, std::string name, WireUp wire_up,
          Memory memory);
  ~LaneRig();

  void set_config(const ring::ClusterConfig& config);
  Status add_peer(const PeerSpec& spec);
  // One turn of what a lane's thread does.
  void turn();
  // tarn_refused_total by cause, without those that never happened.
  std::map<std::string, uint64_t> refusals() const;
  uint64_t refused(const std::string& cause) const;

  const Clock& clock;
  std::string name;
  std::unique_ptr<memory::SlabPool> pool;
  metrics::Registry registry;
  LaneMetrics metrics{registry, 0};
  store::EventLog events;
  std::unique_ptr<BlockService> service;
  std::unique_ptr<fabric::LoopPort> port;
  std::unique_ptr<store::DramTier> tier;
  std::unique_ptr<Desk> desk;
  std::unique_ptr<Backups> backups;
};

// A requester with a port of its own and one Link to one lane.
class ClientRig {
 public:
  struct Options {
    std::string name = "client";
    std::string tenant = "acme";
    uint32_t rights = auth::right::kRead | auth::right::kWrite;
    std::vector<SpaceId> spaces = {};
    uint64_t connection_id = 7;
    int64_t life_ms = kHourMs;
    uint32_t credits = 64;
    fabric::Kind fabric = fabric::Kind::loop;  // as the server takes it
  };
  ClientRig(fabric::LoopHub& hub, LaneRig& lane, Options options);
  ~ClientRig();

  void turn();
  bool until(const std::function<bool()>& condition);

  struct Block {
    uint64_t hash = 1;
    uint64_t anchor = 0;  // 0: its own
    uint16_t index = 0;
    uint8_t copies = 1;
    bool allow_less = false;
    uint64_t bytes = 10'000;
    uint64_t epoch = 1;
    uint64_t parent = 0;  // 0: none
  };
  // Begins a put; `op` ends with its code. The payload is made from the hash.
  Status begin_put(fabric::PutOp& op, const Block& block, bool& ended);
  // Puts and waits.
  Code put(const Block& block, std::string* message = nullptr);
  // Puts with a sample's checksum of the block's payload, and sends the payload of `sent`.
  Code put_sampled(const Block& block, uint64_t sent);
  // Gets and compares with what put made; the item's code, corrupt where bytes differ.
  Code get(const Block& block);
  Code exists(const Block& block);
  Code remove(const Block& block);

  // Sends a raw message, signed with the connection's key unless told otherwise.
  void send_raw(const wire::HeaderBuffer& header, fabric::Bytes payload = {});
  wire::Route next_route();
  wire::PutRequest request_of(const Block& block) const;

  LaneRig& lane;
  Options options;
  auth::ConnectionBinding binding;
  std::string key = std::string(32, 'k');
  std::unique_ptr<auth::RequestMac> mac;
  std::unique_ptr<fabric::LoopPort> port;
  fabric::LinkTable links;
  std::unique_ptr<fabric::Link> link;
  std::unique_ptr<fabric::Connection> raw;
  // Replies to raw messages.
  struct RawReply {
    wire::Reply reply;
    uint64_t payload_bytes = 0;
  };
  std::map<uint64_t, std::vector<RawReply>> replies;  // by sequence
  std::function<void()> also_turn;

 private:
  uint64_t x_next_raw = 500;
};

block::BlockHash test_hash(uint64_t number);
std::vector<std::byte> test_payload(uint64_t hash, uint64_t bytes);

}  // namespace tarn::lane
