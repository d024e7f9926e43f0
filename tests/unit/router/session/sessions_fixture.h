#pragma once

#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/base/fault_point.h"
#include "common/rpc/status.h"
#include "tests/unit/router/session/session_cluster.h"

namespace tarn::router {

// A tenant's calls to the router of a small cluster.
class Sessions : public testing::Test {
 protected:
  void SetUp() override { stub = cluster.stub_for(auth::Role::tenant, "acme"); }
  void TearDown() override { fault::disarm_all(); }

  using Stub = v1::Sessions::Stub;
  template <typename Request, typename Response>
  using Method = grpc::Status (Stub::*)(grpc::ClientContext*, const Request&, Response*);

  template <typename Request, typename Response>
  Status call(Method<Request, Response> method, const Request& request, Response& response,
              Millis timeout = Millis(8000)) {
    grpc::ClientContext context;
    rpc::set_timeout(context, timeout);
    const grpc::Status status = (stub.get()->*method)(&context, request, &response);
    const auto& trailing = context.GetServerTrailingMetadata();
    const auto version = trailing.find(kVersionMetadata);
    standing_version = version == trailing.end()
                           ? ""
                           : std::string(version->second.data(), version->second.size());
    return rpc::from_grpc(status);
  }
  Status create(const std::string& id, v1::Manifest& manifest, const std::string& request_id = "") {
    v1::CreateSessionRequest request;
    request.set_session_id(id);
    request.set_space(std::string(16, 's'));
    request.set_request_id(request_id);
    return call(&Stub::CreateSession, request, manifest);
  }
  static v1::AppendSessionRequest one_block(const std::string& id, uint64_t version) {
    v1::AppendSessionRequest request;
    request.set_session_id(id);
    request.set_expected_version(version);
    auto* block = request.add_blocks();
    block->set_hash("h" + std::to_string(version));
    block->set_anchor("h1");
    block->set_index(static_cast<uint32_t>(version - 1) % 32);
    request.set_token_count(version * 16);
    return request;
  }
  Status append(const v1::AppendSessionRequest& request, Millis timeout = Millis(8000)) {
    return call(&Stub::AppendSession, request, appended, timeout);
  }
  Status resolve(const std::string& id, v1::Manifest& manifest, Millis timeout = Millis(8000)) {
    v1::ResolveSessionRequest request;
    request.set_session_id(id);
    return call(&Stub::ResolveSession, request, manifest, timeout);
  }
  Status fork(const v1::ForkSessionRequest& request, v1::Manifest& manifest) {
    return call(&Stub::ForkSession, request, manifest);
  }

  SessionCluster cluster{3};
  std::unique_ptr<Stub> stub;
  v1::AppendSessionResponse appended;
  std::string standing_version;
};

}  // namespace tarn::router
