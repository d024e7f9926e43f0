#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/block/key.h"
#include "common/block/space.h"
#include "common/ring/config.h"
#include "common/ring/extent.h"
#include "tarn/tarn.h"

namespace tarn::sdk {

class RouterChannels;
struct MissedAt;

// A ticket as it came, and the secret that signs requests with it.
struct IssuedTicket {
  std::string bytes;
  std::string client_key;
  int64_t expires_unix_ms = 0;
};

// One of the hashes asked for; an empty anchor: not known.
struct LocatedBlock {
  block::BlockHash hash;
  ring::KnownPlace place;
};

// A run of a Match answer, with what the caches learn from it.
struct MatchedRun {
  uint32_t first = 0;
  uint32_t count = 0;
  block::BlockHash anchor;
  uint32_t first_index = 0;
  std::vector<ServerId> holders;  // best first
  std::string tier;
  uint64_t estimated_us = 0;
};

struct Matched {
  uint32_t count = 0;
  std::vector<MatchedRun> runs;
  bool is_partial = false;
};

// The routers' services but the sessions'. Each call blocks until `deadline` at most and tries the
// routers in turn; all return what the service says, or deadline_exceeded, unavailable. Answers are
// checked: what a router must not say is `internal`. Thread-safe.
class RpcRouter {
 public:
  explicit RpcRouter(RouterChannels& channels) : x_channels(channels) {}

  Result<ring::ClusterConfig> get_config(Instant deadline);
  Result<SpaceId> open_space(const block::SpaceSpec& spec, Instant deadline);
  Result<IssuedTicket> issue_ticket(Instant deadline);
  // One for each hash, in that order; at most kMatchHashesMax.
  Result<std::vector<LocatedBlock>> locate(const SpaceId& space,
                                           std::span<const block::BlockHash> hashes,
                                           Instant deadline);
  // Blocks of which all shards below `shards` are there; at most kMatchHashesMax. Long chains are
  // named by digests where the router said that it takes them.
  Result<Matched> match(const SpaceId& space, std::span<const block::BlockHash> hashes,
                        uint32_t shards, Instant deadline);
  // Tells of blocks that servers do not have although they should.
  Status report_misses(std::span<const MissedAt> missed, Instant deadline);
  Result<RouteChoice> route(const SpaceId& space, const RouteQuery& query, Instant deadline);

 private:
  RouterChannels& x_channels;
  std::atomic<bool> x_takes_digests{false};  // the router that answered the last Match
};

}  // namespace tarn::sdk
