#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/metrics/registry.h"
#include "proto/tarn/v1/sessions.pb.h"
#include "router/cluster/config_view.h"

namespace tarn::session {

// How the router reaches the storage servers. Blocking; each call ends by its deadline, or at once
// when the config no longer names the server as up or draining. Thread-safe.
struct StoreCalls {
  std::function<Result<v1::SessionResult>(ServerId, const v1::SessionCommand&, Instant deadline)>
      execute;
  std::function<Result<v1::ListSessionsResponse>(ServerId, const v1::ListSlotRequest&,
                                                 Instant deadline)>
      list;
};

struct SessionFrontOptions {
  cluster::ConfigView* config = nullptr;
  StoreCalls calls;
  const Clock* clock = &system_clock();
  metrics::Registry* registry = nullptr;
};

// Who asks, and until when it waits for an answer.
struct SessionCaller {
  std::string tenant;
  Instant deadline;
  std::function<bool()> is_gone = {};  // it wants no answer any more; none: it waits
};

// The router's side of sessions: finds the primary of a session's slot in the config and asks it,
// again under the next config when it is gone, until the caller's deadline. Holds no state of its
// own, so any router may be asked. Thread-safe; calls block, for no more than one attempt once
// their caller has gone.
//
// Failures are those of the operation; besides: unavailable (the deadline came, or the slot's last
// copy is lost; the outcome of a change may be open, a retry with its request_id settles it). Never
// not_found because somebody could not be asked.
class SessionFront {
 public:
  explicit SessionFront(SessionFrontOptions options);
  ~SessionFront();
  SessionFront(const SessionFront&) = delete;
  SessionFront& operator=(const SessionFront&) = delete;

  // Draws what the client left out: a request id, a new session's id. A result that is not ok keeps
  // its outcome, message and, for conflict, the version that stands.
  v1::SessionResult create(const SessionCaller& caller, v1::CreateSessionRequest request);
  v1::SessionResult append(const SessionCaller& caller, v1::AppendSessionRequest request);
  v1::SessionResult resolve(const SessionCaller& caller, const v1::ResolveSessionRequest& request);
  v1::SessionResult fork(const SessionCaller& caller, v1::ForkSessionRequest request);
  v1::SessionResult truncate(const SessionCaller& caller, v1::TruncateSessionRequest request);
  v1::SessionResult update(const SessionCaller& caller, v1::UpdateSessionRequest request);
  v1::SessionResult remove(const SessionCaller& caller, v1::DeleteSessionRequest request);
  // The first sessions of all slots in order of id; never a part of them. Returns: ok, unavailable,
  // invalid_argument.
  Result<v1::ListSessionsResponse> list(const SessionCaller& caller,
                                        const v1::ListSessionsRequest& request);

 private:
  v1::SessionResult run(const SessionCaller& caller, v1::SessionCommand command);
  v1::SessionResult forked_before(const SessionCaller& caller,
                                  const v1::ForkSessionRequest& request, v1::SessionResult refusal);
  Result<v1::ListSessionsResponse> list_once(const ring::ClusterConfig& config,
                                             const SessionCaller& caller,
                                             v1::ListSlotRequest request);
  bool wait_for_next(uint64_t epoch, int attempt, Instant deadline);
  Instant attempt_end(Instant deadline) const;

  const SessionFrontOptions x_options;
  metrics::Counter& x_retries;
  metrics::Counter& x_unavailable;
  Mutex x_mutex;
  CondVar x_changed;
  uint64_t x_epoch TARN_GUARDED_BY(x_mutex) = 0;  // of the latest config
  cluster::ConfigView::Subscription x_subscription;
};

}  // namespace tarn::session
