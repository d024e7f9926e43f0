#include "cli/rpc/session_client.h"

#include <algorithm>
#include <utility>

#include "cli/rpc/router_line.h"
#include "common/auth/secret.h"
#include "common/base/check.h"
#include "proto/tarn/v1/sessions.grpc.pb.h"

namespace tarn::cli {
namespace {

constexpr uint32_t kPage = 1000;
constexpr size_t kRequestIdBytes = 16;

SessionLine from_proto(const v1::SessionSummary& summary) {
  SessionLine line;
  line.id = summary.session_id();
  line.space = summary.space();
  line.version = summary.version();
  line.block_count = summary.block_count();
  line.token_count = summary.token_count();
  line.is_pinned = summary.pinned();
  line.updated_unix_ms = summary.updated_unix_ms();
  line.parent = summary.parent();
  return line;
}

SessionReport from_proto(const v1::Manifest& manifest) {
  SessionReport report;
  report.line.id = manifest.session_id();
  report.line.space = manifest.space();
  report.line.version = manifest.version();
  report.line.token_count = manifest.token_count();
  report.line.is_pinned = manifest.pinned();
  report.line.updated_unix_ms = manifest.updated_unix_ms();
  report.line.parent = manifest.parent();
  for (const v1::ExtentRun& run : manifest.runs()) {
    SessionRun& into = report.runs.emplace_back();
    into.anchor = run.anchor();
    into.first_index = run.first_index();
    into.hashes.assign(run.hashes().begin(), run.hashes().end());
    report.line.block_count += into.hashes.size();
  }
  report.tail_bytes = manifest.tail().size();
  report.token_id_count = static_cast<uint64_t>(manifest.token_ids_size());
  report.created_unix_ms = manifest.created_unix_ms();
  report.expires_unix_ms = manifest.expires_unix_ms();
  return report;
}

}  // namespace

struct SessionClient::State {
  RouterLine line;
  std::unique_ptr<v1::Sessions::Stub> sessions;
};

Result<SessionClient> SessionClient::open(const std::string& endpoint,
                                          const RouterCredentials& credentials, Millis timeout) {
  TARN_ASSIGN_OR_RETURN(RouterLine line, RouterLine::open(endpoint, credentials, timeout));
  auto sessions = v1::Sessions::NewStub(line.channel());
  return SessionClient(std::make_unique<State>(State{std::move(line), std::move(sessions)}));
}

SessionClient::SessionClient(std::unique_ptr<State> state) : x_state(std::move(state)) {
  TARN_CHECK(x_state->sessions != nullptr);
}
SessionClient::SessionClient(SessionClient&& other) noexcept = default;
SessionClient::~SessionClient() = default;

Result<std::vector<SessionLine>> SessionClient::list(const std::string& prefix, size_t limit) {
  std::vector<SessionLine> found;
  v1::ListSessionsRequest request;
  request.set_prefix(prefix);
  do {
    request.set_limit(static_cast<uint32_t>(std::min<size_t>(kPage, limit - found.size())));
    v1::ListSessionsResponse page;
    TARN_RETURN_IF_ERROR(x_state->line.call([&](grpc::ClientContext& context) {
      return x_state->sessions->ListSessions(&context, request, &page);
    }));
    for (const v1::SessionSummary& summary : page.sessions())
      if (found.size() < limit) found.push_back(from_proto(summary));
    // A router that names the same page for ever must not hold us.
    const bool is_last = page.next().empty() || page.next() == request.after();
    if (is_last) break;
    request.set_after(page.next());
  } while (found.size() < limit);
  return found;
}

Result<SessionReport> SessionClient::show(const std::string& id) {
  v1::ResolveSessionRequest request;
  request.set_session_id(id);
  v1::Manifest manifest;
  TARN_RETURN_IF_ERROR(x_state->line.call([&](grpc::ClientContext& context) {
    return x_state->sessions->ResolveSession(&context, request, &manifest);
  }));
  return from_proto(manifest);
}

Result<SessionReport> SessionClient::fork(const std::string& id, const std::string& new_id) {
  v1::ForkSessionRequest request;
  request.set_session_id(id);
  request.set_new_session_id(new_id);
  TARN_ASSIGN_OR_RETURN(*request.mutable_request_id(), auth::random_bytes(kRequestIdBytes));
  v1::Manifest manifest;
  TARN_RETURN_IF_ERROR(x_state->line.call([&](grpc::ClientContext& context) {
    return x_state->sessions->ForkSession(&context, request, &manifest);
  }));
  return from_proto(manifest);
}

Status SessionClient::remove(const std::string& id) {
  v1::DeleteSessionRequest request;
  request.set_session_id(id);
  TARN_ASSIGN_OR_RETURN(*request.mutable_request_id(), auth::random_bytes(kRequestIdBytes));
  v1::DeleteSessionResponse response;
  return x_state->line.call([&](grpc::ClientContext& context) {
    return x_state->sessions->DeleteSession(&context, request, &response);
  });
}

}  // namespace tarn::cli
