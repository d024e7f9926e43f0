#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ring/extent.h"
#include "tarn/tarn.h"

namespace tarn::sdk {

class RouterChannels;

// Blocks of one extent in chain order, as a manifest has them.
struct ManifestRun {
  block::BlockHash anchor;
  uint32_t first_index = 0;
  std::vector<block::BlockHash> hashes;
};

struct ResolvedSession {
  Manifest manifest;
  std::vector<ManifestRun> runs;
};

struct PlacedBlock {
  block::BlockHash hash;
  ring::BlockPlace place;
};

// A session as its handle has it. One of this id in another space is refused: invalid_argument.
struct SessionName {
  SpaceId space;
  std::string id;
};

// What a change of a session's contents names.
struct SessionEdit {
  SessionName session;
  uint64_t expected_version = 0;
};

// What UpdateSession changes; null stays.
struct SessionUpdate {
  const bool* pinned = nullptr;
  const int64_t* ttl_ms = nullptr;
};

// The routers' session service. Each call blocks until `deadline` at most; those that change
// something carry one request id through all their tries, so that they are applied once. They
// return what the service says. Thread-safe.
class RpcSessions {
 public:
  explicit RpcSessions(RouterChannels& channels) : x_channels(channels) {}

  // Returns the id, which is drawn when `session` has none.
  Result<std::string> create(const SessionName& session, int64_t ttl_ms, Instant deadline);
  Result<ResolvedSession> resolve(const SessionName& session, Instant deadline);
  // Returns the new version.
  Result<uint64_t> append(const SessionEdit& edit, const std::vector<PlacedBlock>& blocks,
                          const Append& what, Instant deadline);
  Result<std::string> fork(const SessionName& session, const std::string& new_id, Instant deadline);
  Result<uint64_t> truncate(const SessionEdit& edit, const Truncate& to, Instant deadline);
  Status update(const SessionName& session, const SessionUpdate& update, Instant deadline);
  Status remove(const SessionName& session, Instant deadline);
  // Those of the space, in order of id.
  Result<std::vector<Manifest>> list(const SpaceId& space, std::string_view prefix,
                                     Instant deadline);

 private:
  RouterChannels& x_channels;
};

}  // namespace tarn::sdk
