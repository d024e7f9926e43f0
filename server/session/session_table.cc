#include "server/session/session_table.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/units.h"
#include "common/rpc/convert.h"
#include "common/rpc/session_command.h"
#include "server/session/manifest.h"

namespace tarn::session {
namespace {

using Op = v1::SessionCommand::OpCase;

v1::SessionResult refuse(Code code, std::string message) {
  v1::SessionResult result;
  result.set_outcome(rpc::to_outcome(code));
  result.set_message(std::move(message));
  return result;
}

v1::SessionResult no_session(const std::string& id) {
  return refuse(Code::not_found, "no session '" + id + "'");
}

v1::SessionResult done(const v1::Manifest& manifest, bool whole) {
  v1::SessionResult result;
  result.set_outcome(v1::OUTCOME_OK);
  result.set_version(manifest.version());
  result.set_block_count(block_count(manifest));
  if (whole) *result.mutable_manifest() = manifest;
  return result;
}

int64_t expiry(int64_t ttl_ms, int64_t unix_ms) {
  return ttl_ms > 0 ? unix_ms + ttl_ms : 0;
}

const std::string* request_id_of(const v1::SessionCommand& command) {
  switch (command.op_case()) {
    case Op::kCreate:
      return &command.create().request_id();
    case Op::kAppend:
      return &command.append().request_id();
    case Op::kFork:
      return &command.fork().request().request_id();
    case Op::kTruncate:
      return &command.truncate().request_id();
    case Op::kUpdate:
      return &command.update().request_id();
    case Op::kDelete:
      return &command.delete_().request_id();
    default:
      return nullptr;
  }
}

// 0 where the command expects none.
uint64_t expected_version_of(const v1::SessionCommand& command) {
  switch (command.op_case()) {
    case Op::kAppend:
      return command.append().expected_version();
    case Op::kTruncate:
      return command.truncate().expected_version();
    case Op::kUpdate:
      return command.update().expected_version();
    default:
      return 0;
  }
}

bool makes_session(const v1::SessionCommand& command) {
  return command.op_case() == Op::kCreate || command.op_case() == Op::kFork;
}

v1::SessionResult gone() {
  v1::SessionResult result;
  result.set_outcome(v1::OUTCOME_OK);
  return result;
}

// What is kept of the request, if it was applied before. A delete has version 0.
const v1::AppliedRequest* find_applied(const v1::SessionState& state,
                                       const v1::SessionCommand& command) {
  const std::string* id = request_id_of(command);
  if (id == nullptr || id->empty()) return nullptr;
  const bool is_delete = command.op_case() == Op::kDelete;
  for (const auto& applied : state.applied()) {
    if (applied.request_id() == *id && (applied.version() == 0) == is_delete) return &applied;
  }
  return nullptr;
}

// The first result of a request that was applied before.
std::optional<v1::SessionResult> earlier_result(const v1::SessionState& state,
                                                const v1::SessionCommand& command) {
  const v1::AppliedRequest* applied = find_applied(state, command);
  if (applied == nullptr) return std::nullopt;
  v1::SessionResult result = done(state.manifest(), makes_session(command));
  result.set_version(applied->version());
  result.set_block_count(applied->block_count());
  return result;
}

void remember(v1::SessionState& state, const v1::SessionCommand& command) {
  const std::string* id = request_id_of(command);
  if (id == nullptr || id->empty()) return;
  if (state.applied_size() >= kAppliedRequestsMax) state.mutable_applied()->DeleteSubrange(0, 1);
  auto* applied = state.add_applied();
  applied->set_request_id(*id);
  applied->set_version(state.manifest().version());
  applied->set_block_count(block_count(state.manifest()));
}

// Empties the state, but for the deletes that were applied to sessions of its name.
void keep_deletes(v1::SessionState& state) {
  v1::SessionState fresh;
  for (const auto& applied : state.applied()) {
    if (applied.version() == 0) *fresh.add_applied() = applied;
  }
  state = std::move(fresh);
}

v1::Manifest new_manifest(const v1::SessionCommand& command, int64_t unix_ms) {
  v1::Manifest manifest;
  if (command.op_case() == Op::kFork) {
    const auto& fork = command.fork();
    manifest = fork.source();
    manifest.set_parent(fork.source().session_id());
    manifest.set_session_id(fork.request().new_session_id());
    manifest.set_pinned(false);
    manifest.set_expires_unix_ms(expiry(fork.request().ttl_ms(), unix_ms));
  } else {
    const auto& create = command.create();
    manifest.set_session_id(create.session_id());
    manifest.set_space(create.space());
    manifest.set_expires_unix_ms(expiry(create.ttl_ms(), unix_ms));
  }
  manifest.set_created_unix_ms(unix_ms);
  return manifest;
}

void change(v1::Manifest& manifest, const v1::SessionCommand& command, int64_t unix_ms) {
  if (command.op_case() == Op::kAppend) {
    const auto& append = command.append();
    for (const auto& block : append.blocks())
      add_block(manifest, block);
    manifest.mutable_token_ids()->MergeFrom(append.token_ids());
    manifest.set_token_count(append.token_count());
    manifest.set_tail(append.tail());
  } else if (command.op_case() == Op::kTruncate) {
    const auto& truncate = command.truncate();
    cut_blocks(manifest, truncate.block_count());
    manifest.set_token_count(truncate.token_count());
    manifest.set_tail(truncate.tail());
  } else if (command.op_case() == Op::kUpdate) {
    const auto& update = command.update();
    if (update.has_pinned()) manifest.set_pinned(update.pinned());
    if (update.has_ttl_ms()) manifest.set_expires_unix_ms(expiry(update.ttl_ms(), unix_ms));
  }
}

// What forbids the command on a session that exists.
std::optional<v1::SessionResult> refusal(const v1::Manifest& manifest,
                                         const v1::SessionCommand& command) {
  const uint64_t expected = expected_version_of(command);
  if (expected != 0 && expected != manifest.version()) {
    auto result = refuse(Code::conflict, "session '" + manifest.session_id() + "' has version " +
                                             std::to_string(manifest.version()) + ", not " +
                                             std::to_string(expected));
    result.set_version(manifest.version());
    return result;
  }
  const uint64_t blocks = block_count(manifest);
  if (command.op_case() == Op::kTruncate && command.truncate().block_count() > blocks) {
    return refuse(Code::invalid_argument,
                  "block_count: the session has only " + std::to_string(blocks) + " blocks");
  }
  if (command.op_case() == Op::kAppend) {
    const auto more = static_cast<uint64_t>(command.append().blocks_size());
    const int tokens = manifest.token_ids_size() + command.append().token_ids_size();
    if (blocks + more > kManifestBlocksMax || tokens > kManifestTokensMax) {
      return refuse(Code::invalid_argument,
                    "blocks: a session holds at most " + std::to_string(kManifestBlocksMax) +
                        " blocks and " + std::to_string(kManifestTokensMax) + " token ids");
    }
  }
  return std::nullopt;
}

}  // namespace

const v1::SessionState* SessionTable::find_any(const std::string& tenant, const std::string& id,
                                               int64_t unix_ms) const {
  const auto found = x_sessions.find({tenant, id});
  if (found == x_sessions.end()) return nullptr;
  const int64_t expires = found->second.manifest().expires_unix_ms();
  const bool expired = expires != 0 && expires <= unix_ms && !found->second.manifest().pinned();
  return expired ? nullptr : &found->second;
}

const v1::SessionState* SessionTable::find(const std::string& tenant, const std::string& id,
                                           int64_t unix_ms) const {
  const v1::SessionState* state = find_any(tenant, id, unix_ms);
  return state == nullptr || state->deleted() ? nullptr : state;
}

// Also a delete that finds nothing goes through the log, when it may be retried: by then somebody
// may have made a session of that name.
std::optional<v1::SessionResult> SessionTable::answer_delete(const v1::SessionCommand& command,
                                                             int64_t unix_ms) const {
  const v1::SessionState* state =
      find_any(command.tenant(), command.delete_().session_id(), unix_ms);
  if (state != nullptr && find_applied(*state, command) != nullptr) return gone();
  const bool is_there = state != nullptr && !state->deleted();
  if (!is_there && command.delete_().request_id().empty()) return gone();
  return std::nullopt;
}

// Not so for a retry: it gets its first result.
bool SessionTable::is_of_another_space(const v1::SessionCommand& command, int64_t unix_ms) const {
  const std::string& expected = rpc::expected_space_of(command);
  if (expected.empty()) return false;
  const std::string& id = rpc::session_id_of(command);
  const v1::SessionState* state = find_any(command.tenant(), id, unix_ms);
  if (state != nullptr && find_applied(*state, command) != nullptr) return false;
  if (command.op_case() == Op::kFork) return command.fork().source().space() != expected;
  const bool is_there = state != nullptr && !state->deleted();
  return is_there && state->manifest().space() != expected;
}

std::optional<v1::SessionResult> SessionTable::answer(const v1::SessionCommand& command,
                                                      int64_t unix_ms) const {
  if (!is_of_another_space(command, unix_ms)) return answer_in_any_space(command, unix_ms);
  const bool is_fork = command.op_case() == Op::kFork;
  const Status why = rpc::of_another_space(is_fork ? command.fork().source().session_id()
                                                   : rpc::session_id_of(command));
  return refuse(why.code(), why.message());
}

std::optional<v1::SessionResult> SessionTable::answer_in_any_space(
    const v1::SessionCommand& command, int64_t unix_ms) const {
  const std::string& id = rpc::session_id_of(command);
  if (command.op_case() == Op::kDelete) return answer_delete(command, unix_ms);
  const v1::SessionState* state = find_any(command.tenant(), id, unix_ms);
  if (state != nullptr && state->deleted()) {
    if (makes_session(command) && find_applied(*state, command) != nullptr) {
      return refuse(Code::not_found, "session '" + id + "' was deleted after this had made it");
    }
    state = nullptr;
  }
  if (state == nullptr) {
    if (makes_session(command)) return std::nullopt;
    return no_session(id);
  }
  if (auto earlier = earlier_result(*state, command)) return earlier;
  if (command.op_case() == Op::kResolve) return done(state->manifest(), true);
  if (makes_session(command)) return refuse(Code::exists, "session '" + id + "' exists");
  return refusal(state->manifest(), command);
}

v1::SessionResult SessionTable::apply(const v1::SessionCommand& command, int64_t unix_ms) {
  if (auto answered = answer_in_any_space(command, unix_ms)) return *answered;
  const Key key(command.tenant(), rpc::session_id_of(command));
  if (command.op_case() == Op::kDelete) {
    bury(key, command, unix_ms);
    forget_buried(unix_ms);
    return gone();
  }
  v1::SessionState& state = x_sessions[key];
  if (makes_session(command)) {
    keep_deletes(state);
    state.set_tenant(command.tenant());
    *state.mutable_manifest() = new_manifest(command, unix_ms);
    state.mutable_manifest()->set_version(1);
  } else {
    change(*state.mutable_manifest(), command, unix_ms);
    state.mutable_manifest()->set_version(state.manifest().version() + 1);
  }
  state.mutable_manifest()->set_updated_unix_ms(unix_ms);
  remember(state, command);
  return done(state.manifest(), makes_session(command));
}

void SessionTable::bury(const Key& key, const v1::SessionCommand& command, int64_t unix_ms) {
  v1::SessionState& state = x_sessions[key];
  state.set_tenant(key.first);
  state.set_deleted(true);
  state.clear_manifest();
  state.mutable_manifest()->set_session_id(key.second);
  state.mutable_manifest()->set_expires_unix_ms(unix_ms + kDeletedKeptMs);
  remember(state, command);
  x_buried.push_back({unix_ms + kDeletedKeptMs, key});
}

void SessionTable::forget_buried(int64_t unix_ms) {
  for (; !x_buried.empty() && x_buried.front().until_unix_ms <= unix_ms; x_buried.pop_front()) {
    const auto found = x_sessions.find(x_buried.front().key);
    const bool is_due = found != x_sessions.end() && found->second.deleted() &&
                        found->second.manifest().expires_unix_ms() <= unix_ms;
    if (is_due) x_sessions.erase(found);
  }
}

v1::SlotSnapshot SessionTable::snapshot(int64_t unix_ms) const {
  v1::SlotSnapshot snapshot;
  for (const auto& [key, state] : x_sessions) {
    if (find_any(key.first, key.second, unix_ms) != nullptr) *snapshot.add_sessions() = state;
  }
  return snapshot;
}

void SessionTable::restore(const v1::SlotSnapshot& snapshot) {
  clear();
  for (const auto& state : snapshot.sessions()) {
    const Key key(state.tenant(), state.manifest().session_id());
    x_sessions[key] = state;
    if (state.deleted()) x_buried.push_back({state.manifest().expires_unix_ms(), key});
  }
  std::stable_sort(x_buried.begin(), x_buried.end(), [](const Buried& a, const Buried& b) {
    return a.until_unix_ms < b.until_unix_ms;
  });
}

void SessionTable::clear() {
  x_sessions.clear();
  x_buried.clear();
}

void SessionTable::list(const v1::ListSlotRequest& request, int64_t unix_ms,
                        const std::function<bool(const v1::Manifest&)>& visit) const {
  const std::string& start = std::max(request.prefix(), request.after());
  for (auto it = x_sessions.lower_bound({request.tenant(), start}); it != x_sessions.end(); ++it) {
    const auto& [tenant, id] = it->first;
    if (tenant != request.tenant() || !id.starts_with(request.prefix())) return;
    if (!request.after().empty() && id <= request.after()) continue;
    if (find(tenant, id, unix_ms) == nullptr) continue;
    if (!visit(it->second.manifest())) return;
  }
}

bool is_read(const v1::SessionCommand& command) {
  return command.op_case() == Op::kResolve;
}

}  // namespace tarn::session
