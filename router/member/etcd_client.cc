#include "router/member/etcd_client.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/rpc/credentials.h"
#include "router/member/authority.h"

namespace tarn::member {
namespace {

// Whatever gRPC says, the caller can only try again; the text is for the operator.
Status to_status(const grpc::Status& status, const char* call) {
  if (status.ok()) return Status::ok();
  return unavailable(std::string("etcd ") + call + ": " + status.error_message() + " (" +
                     std::to_string(status.error_code()) + ")");
}

// A call waits for the connection rather than fail fast: without a thread that waits, gRPC makes no
// progress on connecting.
void begin(grpc::ClientContext& context) {
  rpc::set_timeout(context, kAuthorityTimeout);
  context.set_wait_for_ready(true);
}

etcdserverpb::TxnRequest put_request(const EtcdPut& put) {
  etcdserverpb::TxnRequest request;
  auto* compare = request.add_compare();
  compare->set_result(etcdserverpb::Compare::EQUAL);
  compare->set_key(put.key);
  if (put.expected_revision == 0) {
    compare->set_target(etcdserverpb::Compare::CREATE);
    compare->set_create_revision(0);
  } else {
    compare->set_target(etcdserverpb::Compare::MOD);
    compare->set_mod_revision(put.expected_revision);
  }
  auto* op = request.add_success()->mutable_request_put();
  op->set_key(put.key);
  op->set_value(put.value);
  op->set_lease(put.lease);
  return request;
}

}  // namespace

EtcdClient::EtcdClient(const std::shared_ptr<grpc::Channel>& channel)
    : x_kv(etcdserverpb::KV::NewStub(channel)),
      x_lease(etcdserverpb::Lease::NewStub(channel)),
      x_watch(etcdserverpb::Watch::NewStub(channel)) {}

Result<EtcdValue> EtcdClient::get(const std::string& key) {
  grpc::ClientContext context;
  begin(context);
  etcdserverpb::RangeRequest request;
  request.set_key(key);
  etcdserverpb::RangeResponse response;
  TARN_RETURN_IF_ERROR(to_status(x_kv->Range(&context, request, &response), "range"));
  EtcdValue value;
  value.store_revision = response.header().revision();
  if (response.kvs_size() != 0) {
    value.revision = response.kvs(0).mod_revision();
    value.value = response.kvs(0).value();
  }
  return value;
}

Result<int64_t> EtcdClient::put_if(const EtcdPut& put) {
  TARN_CHECK(!put.key.empty());
  grpc::ClientContext context;
  begin(context);
  etcdserverpb::TxnResponse response;
  TARN_RETURN_IF_ERROR(to_status(x_kv->Txn(&context, put_request(put), &response), "txn"));
  if (!response.succeeded()) return conflict(put.key + " has changed");
  return response.header().revision();
}

Result<int64_t> EtcdClient::grant_lease(int64_t ttl_s) {
  grpc::ClientContext context;
  begin(context);
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(ttl_s);
  etcdserverpb::LeaseGrantResponse response;
  TARN_RETURN_IF_ERROR(to_status(x_lease->LeaseGrant(&context, request, &response), "lease"));
  if (!response.error().empty()) return unavailable("etcd lease: " + response.error());
  return response.id();
}

Status EtcdClient::keep_alive(int64_t lease) {
  grpc::ClientContext context;
  begin(context);
  const auto stream = x_lease->LeaseKeepAlive(&context);
  etcdserverpb::LeaseKeepAliveRequest request;
  request.set_id(lease);
  etcdserverpb::LeaseKeepAliveResponse response;
  const bool is_answered = stream->Write(request) && stream->Read(&response);
  stream->WritesDone();
  if (!is_answered) return to_status(stream->Finish(), "keep alive");
  context.TryCancel();
  (void)stream->Finish();
  return response.ttl() > 0 ? Status::ok() : not_found("the lease has ended");
}

void EtcdClient::revoke(int64_t lease) {
  grpc::ClientContext context;
  begin(context);
  etcdserverpb::LeaseRevokeRequest request;
  request.set_id(lease);
  etcdserverpb::LeaseRevokeResponse response;
  (void)x_lease->LeaseRevoke(&context, request, &response);
}

Status EtcdClient::watch(grpc::ClientContext& context, const std::string& key, int64_t from,
                         const std::function<void()>& changed) {
  TARN_CHECK(from > 0);
  context.set_wait_for_ready(true);
  const auto stream = x_watch->Watch(&context);
  etcdserverpb::WatchRequest request;
  request.mutable_create_request()->set_key(key);
  request.mutable_create_request()->set_start_revision(from);
  etcdserverpb::WatchResponse response;
  bool is_open = stream->Write(request);
  while (is_open && stream->Read(&response)) {
    if (response.canceled() || TARN_FAULT_POINT("authority.watch_lost")) break;
    if (response.events_size() != 0) changed();
  }
  context.TryCancel();
  const grpc::Status status = stream->Finish();
  return unavailable("etcd watch: " +
                     (response.canceled() ? response.cancel_reason() : status.error_message()));
}

}  // namespace tarn::member
