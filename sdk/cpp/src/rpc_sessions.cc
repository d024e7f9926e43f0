#include "sdk/cpp/src/rpc_sessions.h"

#include <algorithm>

#include "common/auth/secret.h"
#include "common/rpc/convert.h"
#include "common/rpc/session_command.h"
#include "proto/tarn/v1/sessions.grpc.pb.h"
#include "sdk/cpp/src/rpc_channels.h"

namespace tarn::sdk {
namespace {

constexpr size_t kRequestIdBytes = 16;
// Sessions that one list may bring together.
constexpr size_t kListedMax = 1 << 20;

using Stub = v1::Sessions::Stub;

template <typename Request>
Request about(const SessionName& session) {
  Request request;
  request.set_session_id(session.id);
  request.set_space(rpc::to_bytes(session.space));
  return request;
}

// With a request id of its own, so that its tries are applied once.
template <typename Request>
Result<Request> change_of(const SessionName& session) {
  auto request = about<Request>(session);
  TARN_ASSIGN_OR_RETURN(*request.mutable_request_id(), auth::random_bytes(kRequestIdBytes));
  return request;
}

Result<ManifestRun> run_from(const v1::ExtentRun& run) {
  const auto anchor = block::BlockHash::from(run.anchor());
  if (!anchor) return router_nonsense("a run's anchor");
  ManifestRun out;
  out.anchor = *anchor;
  out.first_index = run.first_index();
  for (const std::string& bytes : run.hashes()) {
    const auto hash = block::BlockHash::from(bytes);
    if (!hash) return router_nonsense("a block's hash");
    out.hashes.push_back(*hash);
  }
  return out;
}

Result<ResolvedSession> session_from(const v1::Manifest& from) {
  ResolvedSession out;
  for (const v1::ExtentRun& run : from.runs()) {
    TARN_ASSIGN_OR_RETURN(ManifestRun converted, run_from(run));
    for (const block::BlockHash& hash : converted.hashes)
      out.manifest.blocks.emplace_back(hash.view());
    out.runs.push_back(std::move(converted));
  }
  Manifest& manifest = out.manifest;
  manifest.session_id = from.session_id();
  manifest.version = from.version();
  manifest.block_count = manifest.blocks.size();
  manifest.token_count = from.token_count();
  manifest.token_ids.assign(from.token_ids().begin(), from.token_ids().end());
  manifest.tail = from.tail();
  manifest.pinned = from.pinned();
  manifest.expires_unix_ms = from.expires_unix_ms();
  manifest.parent = from.parent();
  return out;
}

Manifest summary_from(const v1::SessionSummary& from) {
  Manifest manifest;
  manifest.session_id = from.session_id();
  manifest.version = from.version();
  manifest.block_count = from.block_count();
  manifest.token_count = from.token_count();
  manifest.pinned = from.pinned();
  manifest.parent = from.parent();
  return manifest;
}

}  // namespace

Result<std::string> RpcSessions::create(const SessionName& session, int64_t ttl_ms,
                                        Instant deadline) {
  TARN_ASSIGN_OR_RETURN(auto request, change_of<v1::CreateSessionRequest>(session));
  request.set_ttl_ms(ttl_ms);
  TARN_ASSIGN_OR_RETURN(const auto manifest,
                        x_channels.call<v1::Sessions>(&Stub::CreateSession, request, deadline));
  return manifest.session_id();
}

Result<ResolvedSession> RpcSessions::resolve(const SessionName& session, Instant deadline) {
  const auto request = about<v1::ResolveSessionRequest>(session);
  TARN_ASSIGN_OR_RETURN(const auto manifest,
                        x_channels.call<v1::Sessions>(&Stub::ResolveSession, request, deadline));
  // A server of an older release does not look at the space.
  if (manifest.space() != request.space()) return rpc::of_another_space(session.id);
  return session_from(manifest);
}

Result<uint64_t> RpcSessions::append(const SessionEdit& edit,
                                     const std::vector<PlacedBlock>& blocks, const Append& what,
                                     Instant deadline) {
  TARN_ASSIGN_OR_RETURN(auto request, change_of<v1::AppendSessionRequest>(edit.session));
  request.set_expected_version(edit.expected_version);
  for (const PlacedBlock& block : blocks) {
    v1::BlockRef& ref = *request.add_blocks();
    ref.set_hash(std::string(block.hash.view()));
    ref.set_anchor(std::string(block.place.anchor.view()));
    ref.set_index(block.place.index);
  }
  request.set_token_count(what.token_count);
  request.mutable_token_ids()->Assign(what.token_ids.begin(), what.token_ids.end());
  request.set_tail(what.tail);
  TARN_ASSIGN_OR_RETURN(const auto answer,
                        x_channels.call<v1::Sessions>(&Stub::AppendSession, request, deadline));
  return answer.version();
}

Result<std::string> RpcSessions::fork(const SessionName& session, const std::string& new_id,
                                      Instant deadline) {
  TARN_ASSIGN_OR_RETURN(auto request, change_of<v1::ForkSessionRequest>(session));
  request.set_new_session_id(new_id);
  TARN_ASSIGN_OR_RETURN(const auto manifest,
                        x_channels.call<v1::Sessions>(&Stub::ForkSession, request, deadline));
  return manifest.session_id();
}

Result<uint64_t> RpcSessions::truncate(const SessionEdit& edit, const Truncate& to,
                                       Instant deadline) {
  TARN_ASSIGN_OR_RETURN(auto request, change_of<v1::TruncateSessionRequest>(edit.session));
  request.set_expected_version(edit.expected_version);
  request.set_block_count(to.block_count);
  request.set_token_count(to.token_count);
  request.set_tail(to.tail);
  TARN_ASSIGN_OR_RETURN(const auto answer,
                        x_channels.call<v1::Sessions>(&Stub::TruncateSession, request, deadline));
  return answer.version();
}

Status RpcSessions::update(const SessionName& session, const SessionUpdate& update,
                           Instant deadline) {
  TARN_ASSIGN_OR_RETURN(auto request, change_of<v1::UpdateSessionRequest>(session));
  if (update.pinned != nullptr) request.set_pinned(*update.pinned);
  if (update.ttl_ms != nullptr) request.set_ttl_ms(*update.ttl_ms);
  return x_channels.call<v1::Sessions>(&Stub::UpdateSession, request, deadline).status();
}

Status RpcSessions::remove(const SessionName& session, Instant deadline) {
  TARN_ASSIGN_OR_RETURN(const auto request, change_of<v1::DeleteSessionRequest>(session));
  return x_channels.call<v1::Sessions>(&Stub::DeleteSession, request, deadline).status();
}

Result<std::vector<Manifest>> RpcSessions::list(const SpaceId& space, std::string_view prefix,
                                                Instant deadline) {
  std::vector<Manifest> all;
  v1::ListSessionsRequest request;
  request.set_prefix(std::string(prefix));
  const std::string wanted = rpc::to_bytes(space);
  do {
    TARN_ASSIGN_OR_RETURN(const auto page,
                          x_channels.call<v1::Sessions>(&Stub::ListSessions, request, deadline));
    for (const v1::SessionSummary& summary : page.sessions())
      if (summary.space() == wanted) all.push_back(summary_from(summary));
    // A page that does not lead on would be asked for until the deadline.
    if (page.next() == request.after()) break;
    request.set_after(page.next());
  } while (!request.after().empty() && all.size() < kListedMax);
  return all;
}

}  // namespace tarn::sdk
