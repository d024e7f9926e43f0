#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cli/rpc/admin_client.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace tarn::cli {

struct SessionLine {
  std::string id;
  std::string space;  // its 16 bytes
  uint64_t version = 0;
  uint64_t block_count = 0;
  uint64_t token_count = 0;
  bool is_pinned = false;
  int64_t updated_unix_ms = 0;
  std::string parent;
};

// Blocks of one extent, by their hashes.
struct SessionRun {
  std::string anchor;
  uint32_t first_index = 0;
  std::vector<std::string> hashes;
};

struct SessionReport {
  SessionLine line;
  std::vector<SessionRun> runs;
  uint64_t tail_bytes = 0;
  uint64_t token_id_count = 0;
  int64_t created_unix_ms = 0;
  int64_t expires_unix_ms = 0;  // 0: never
};

// The sessions of one tenant, whatever their spaces, as operators look at them. Thread-safe. Each
// call blocks for the timeout at most.
class SessionClient {
 public:
  // As AdminClient::open, with a tenant's credentials.
  static Result<SessionClient> open(const std::string& endpoint,
                                    const RouterCredentials& credentials, Millis timeout);
  SessionClient(SessionClient&& other) noexcept;
  ~SessionClient();

  // Those whose ids begin with `prefix`, in order of id, at most `limit`.
  Result<std::vector<SessionLine>> list(const std::string& prefix, size_t limit);
  // Each returns what the service says; not_found for a session that does not exist.
  Result<SessionReport> show(const std::string& id);
  // An empty new id has one drawn.
  Result<SessionReport> fork(const std::string& id, const std::string& new_id);
  Status remove(const std::string& id);

 private:
  struct State;
  explicit SessionClient(std::unique_ptr<State> state);

  std::unique_ptr<State> x_state;
};

}  // namespace tarn::cli
