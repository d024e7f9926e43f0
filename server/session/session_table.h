#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "proto/tarn/v1/sessions.pb.h"

namespace tarn::session {

// Limits of one session.
inline constexpr int kManifestBlocksMax = 65'536;
inline constexpr int kManifestTokensMax = 2 << 20;  // at 5 bytes each: a manifest fits 16 MiB
inline constexpr int kAppliedRequestsMax =
    64;  // retries older than this many changes are not recognised
// A retry of a delete is recognised for this long after the session went, by the log's time.
inline constexpr int64_t kDeletedKeptMs = 600'000;

// The sessions of one slot, as its log's entries make them: the same entries give the same table
// everywhere, whatever the local clock says. A deleted session is remembered for a while, so that a
// late retry of its delete spares a new session of that name, and one of its create makes none.
// One-thread (its slot's lock).
class SessionTable {
 public:
  using Key = std::pair<std::string, std::string>;  // tenant name, session id

  // What `command` gives without a change: a refusal, a resolved manifest, or the first result of a
  // repeated request. None: it must go through the log. Only here is the caller's space compared
  // with the session's.
  std::optional<v1::SessionResult> answer(const v1::SessionCommand& command, int64_t unix_ms) const;

  // Applies a command of the log. Precondition: none; what cannot be applied changes nothing and
  // says why. The caller's space is not looked at: a server of an older release has acknowledged
  // what it wrote without a look, and the same entries must give the same table everywhere.
  v1::SessionResult apply(const v1::SessionCommand& command, int64_t unix_ms);

  // The whole table, without sessions that expired before unix_ms, and back.
  v1::SlotSnapshot snapshot(int64_t unix_ms) const;
  void restore(const v1::SlotSnapshot& snapshot);
  void clear();

  // Calls `visit` for the tenant's sessions with this prefix after `after`, in order of id, until
  // it returns false.
  void list(const v1::ListSlotRequest& request, int64_t unix_ms,
            const std::function<bool(const v1::Manifest&)>& visit) const;

  // Sessions, those that were deleted or have expired and are still remembered included.
  size_t size() const { return x_sessions.size(); }

 private:
  std::optional<v1::SessionResult> answer_in_any_space(const v1::SessionCommand& command,
                                                       int64_t unix_ms) const;
  bool is_of_another_space(const v1::SessionCommand& command, int64_t unix_ms) const;
  const v1::SessionState* find_any(const std::string& tenant, const std::string& id,
                                   int64_t unix_ms) const;
  const v1::SessionState* find(const std::string& tenant, const std::string& id,
                               int64_t unix_ms) const;
  std::optional<v1::SessionResult> answer_delete(const v1::SessionCommand& command,
                                                 int64_t unix_ms) const;
  void bury(const Key& key, const v1::SessionCommand& command, int64_t unix_ms);
  void forget_buried(int64_t unix_ms);

  std::map<Key, v1::SessionState> x_sessions;
  struct Buried {
    int64_t until_unix_ms;
    Key key;
  };
  std::deque<Buried> x_buried;  // deleted sessions, in the order in which they are forgotten
};

// Returns: ok, invalid_argument naming the field: ids, sizes, hashes, request ids.
Status validate(const v1::SessionCommand& command);

// True for commands that only read.
bool is_read(const v1::SessionCommand& command);

uint64_t block_count(const v1::Manifest& manifest);

}  // namespace tarn::session
