#include "router/rpc/lookup_service.h"

#include <grpcpp/client_context.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <span>
#include <utility>
#include <vector>

#include "common/rpc/convert.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/router.grpc.pb.h"
#include "tests/unit/router/caller.h"
#include "tests/unit/router/index/blocks.h"

namespace tarn::router {
namespace {

const TenantId kTenant = block::tenant_id("acme");

index::StoredBlock block_of(uint32_t i, const TenantId& tenant = kTenant) {
  index::StoredBlock block = index::block_of("c", i);
  block.tenant = tenant;
  return block;
}

class Lookups : public testing::Test {
 protected:
  void SetUp() override {
    ring::ClusterConfig first;
    first.epoch = {7};
    first.cluster = "test";
    ASSERT_TRUE(config.publish(std::move(first)).is_ok());
    LookupOptions options;
    options.index = &index;
    options.config = &config;
    options.authenticator = &callers.authenticator();
    options.registry = &registry;
    options.is_synced = [this] { return synced; };
    options.doubt = [this](std::span<const index::Doubt> told) {
      doubts.insert(doubts.end(), told.begin(), told.end());
    };
    service = make_lookup_service(std::move(options));
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(service.get());
    server = builder.BuildAndStart();
    stub = stub_for(auth::Role::tenant, "acme");
  }
  void TearDown() override { server->Shutdown(); }

  std::unique_ptr<v1::Lookup::Stub> stub_for(auth::Role role, const std::string& name) {
    return v1::Lookup::NewStub(callers.channel(port, role, name));
  }
  static v1::MatchRequest request_for(uint32_t count) {
    v1::MatchRequest request;
    request.set_space(rpc::to_bytes(index::kSpace));
    for (uint32_t i = 0; i < count; ++i)
      request.add_hashes(std::string(block_of(i).hash.view()));
    return request;
  }
  // Server `at` has none of the first `count` blocks. Returns the doubted extents.
  Result<uint32_t> report(uint32_t count, uint32_t at = 1) {
    v1::ReportMissesRequest request;
    request.set_space(rpc::to_bytes(index::kSpace));
    for (uint32_t i = 0; i < count; ++i) {
      request.add_missed()->set_hash(std::string(block_of(i).hash.view()));
      request.mutable_missed()->rbegin()->set_server(at);
    }
    return report(request);
  }
  Result<uint32_t> report(const v1::ReportMissesRequest& request) {
    grpc::ClientContext context;
    v1::ReportMissesResponse response;
    const Status status = rpc::from_grpc(stub->ReportMisses(&context, request, &response));
    if (!status.is_ok()) return status;
    return response.doubted();
  }
  // The same question by digests.
  static v1::MatchRequest digested(v1::MatchRequest request) {
    for (const std::string& hash : request.hashes())
      request.add_digests(block::hash_value(*block::BlockHash::from(hash)));
    request.clear_hashes();
    return request;
  }
  Status match(const v1::MatchRequest& request, v1::MatchResponse& response) {
    grpc::ClientContext context;
    return rpc::from_grpc(stub->Match(&context, request, &response));
  }

  Callers callers;
  index::Index index{42};
  index::Handle one = index.attach({1});
  cluster::ConfigView config;
  metrics::Registry registry;
  bool synced = true;
  std::vector<index::Doubt> doubts;  // of calls that have ended
  std::unique_ptr<grpc::Service> service;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  std::unique_ptr<v1::Lookup::Stub> stub;
};

TEST_F(Lookups, match_answers_with_runs) {
  for (uint32_t i = 0; i < 40; ++i)
    add(index, one, block_of(i));
  v1::MatchResponse response;
  ASSERT_TRUE(match(request_for(50), response).is_ok());
  EXPECT_EQ(response.matched(), 40u);
  EXPECT_EQ(response.epoch(), 7u);
  EXPECT_FALSE(response.partial());
  ASSERT_EQ(response.runs_size(), 2);
  EXPECT_EQ(response.runs(1).first(), 32u);
  EXPECT_EQ(response.runs(1).count(), 8u);
  EXPECT_EQ(response.runs(1).anchor(), block_of(32).hash.view());
  EXPECT_EQ(response.runs(1).holders(0), 1u);
  EXPECT_EQ(response.runs(1).tier(), v1::TIER_DRAM);
  EXPECT_EQ(response.runs(1).estimated_us(), 200u + 8 * (1 << 20) / 2000);
}

TEST_F(Lookups, match_takes_a_packed_chain_alike) {
  for (uint32_t i = 0; i < 40; ++i)
    add(index, one, block_of(i));
  const v1::MatchRequest loose = request_for(50);
  v1::MatchResponse expected;
  ASSERT_TRUE(match(loose, expected).is_ok());
  v1::MatchRequest packed = loose;
  packed.clear_hashes();
  for (const std::string& hash : loose.hashes()) {
    if (hash.size() == loose.hashes(0).size()) packed.mutable_packed_hashes()->append(hash);
  }
  packed.set_hash_bytes(static_cast<uint32_t>(loose.hashes(0).size()));
  v1::MatchResponse response;
  ASSERT_TRUE(match(packed, response).is_ok());
  const auto same_size = packed.packed_hashes().size() / packed.hash_bytes();
  EXPECT_EQ(response.matched(), std::min<size_t>(same_size, expected.matched()));
}

TEST_F(Lookups, a_packed_chain_that_is_malformed_is_named) {
  v1::MatchRequest request;
  request.set_space(rpc::to_bytes(index::kSpace));
  request.set_packed_hashes(std::string(64, 'x'));
  v1::MatchResponse response;
  for (const uint32_t size : {0u, 33u, 7u}) {
    request.set_hash_bytes(size);
    const Status status = match(request, response);
    EXPECT_EQ(status.code(), Code::invalid_argument) << size;
    EXPECT_NE(status.message().find("hash_bytes"), std::string::npos) << status.message();
  }
  request.set_hash_bytes(32);
  EXPECT_TRUE(match(request, response).is_ok());
  request.add_hashes("y");
  EXPECT_NE(match(request, response).message().find("packed_hashes"), std::string::npos);
  request.clear_hashes();
  request.set_packed_hashes(std::string(8193, 'x'));
  request.set_hash_bytes(1);
  EXPECT_NE(match(request, response).message().find("8192"), std::string::npos);
}

TEST_F(Lookups, match_takes_digests_alike_and_says_so) {
  for (uint32_t i = 0; i < 40; ++i)
    add(index, one, block_of(i));
  v1::MatchRequest request = request_for(50);
  request.mutable_hashes()->DeleteSubrange(0, 5);  // so that the first run has no anchor of its own
  v1::MatchResponse expected;
  ASSERT_TRUE(match(request, expected).is_ok());
  EXPECT_TRUE(expected.takes_digests());
  v1::MatchResponse response;
  ASSERT_TRUE(match(digested(request), response).is_ok());
  EXPECT_TRUE(response.takes_digests());
  EXPECT_EQ(response.runs(0).anchor(), block_of(0).hash.view());
  EXPECT_EQ(response.runs(1).anchor(), "") << "the asker has it";
  EXPECT_EQ(expected.runs(1).anchor(), block_of(32).hash.view());
  expected.mutable_runs(1)->clear_anchor();
  EXPECT_EQ(response.SerializeAsString(), expected.SerializeAsString());
}

TEST_F(Lookups, digests_that_are_too_many_or_beside_hashes_are_named) {
  v1::MatchResponse response;
  v1::MatchRequest request = digested(request_for(8192));
  EXPECT_TRUE(match(request, response).is_ok());
  request.add_digests(1);
  EXPECT_NE(match(request, response).message().find("digests: at most 8192"), std::string::npos);
  request = digested(request_for(2));
  request.add_hashes("y");
  EXPECT_NE(match(request, response).message().find("digests"), std::string::npos);
  request.clear_hashes();
  request.set_packed_hashes("y");
  request.set_hash_bytes(1);
  EXPECT_EQ(match(request, response).code(), Code::invalid_argument);
}

TEST_F(Lookups, locate_answers_for_each_hash) {
  add(index, one, block_of(0));
  add(index, one, block_of(1));
  v1::LocateRequest request;
  request.set_space(rpc::to_bytes(index::kSpace));
  for (uint32_t i = 0; i < 3; ++i)
    request.add_hashes(std::string(block_of(i).hash.view()));
  v1::LocateResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(stub->Locate(&context, request, &response).ok());
  ASSERT_EQ(response.blocks_size(), 3);
  EXPECT_EQ(response.blocks(1).anchor(), block_of(0).hash.view());
  EXPECT_EQ(response.blocks(1).index(), 1u);
  EXPECT_TRUE(response.blocks(1).last());
  EXPECT_TRUE(response.blocks(2).anchor().empty());
}

TEST_F(Lookups, an_index_that_is_not_synced_says_partial) {
  synced = false;
  v1::MatchResponse response;
  ASSERT_TRUE(match(request_for(1), response).is_ok());
  EXPECT_TRUE(response.partial());
}

TEST_F(Lookups, what_is_malformed_is_named) {
  v1::MatchResponse response;
  v1::MatchRequest request = request_for(2);
  request.set_hashes(1, std::string(33, 'x'));
  Status status = match(request, response);
  EXPECT_EQ(status.code(), Code::invalid_argument);
  EXPECT_NE(status.message().find("hashes[1]"), std::string::npos);
  request.set_hashes(1, "");
  EXPECT_EQ(match(request, response).code(), Code::invalid_argument);
  status = match(request_for(8193), response);
  EXPECT_EQ(status.code(), Code::invalid_argument);
  EXPECT_NE(status.message().find("8192"), std::string::npos);
  request = request_for(1);
  request.set_space("short");
  EXPECT_NE(match(request, response).message().find("space"), std::string::npos);
  request = request_for(1);
  request.add_shards(5000);
  EXPECT_NE(match(request, response).message().find("shards"), std::string::npos);
}

TEST_F(Lookups, the_tenant_is_the_callers) {
  add(index, one, block_of(0));
  v1::MatchResponse response;
  stub = stub_for(auth::Role::tenant, "other");
  ASSERT_TRUE(match(request_for(1), response).is_ok());
  EXPECT_EQ(response.matched(), 0u);
  stub = stub_for(auth::Role::worker, "acme/gpu-1");
  ASSERT_TRUE(match(request_for(1), response).is_ok());
  EXPECT_EQ(response.matched(), 1u);
  stub = stub_for(auth::Role::server, "s1");
  EXPECT_EQ(match(request_for(1), response).code(), Code::permission_denied);
  stub = v1::Lookup::NewStub(callers.channel_without_token(port));
  EXPECT_EQ(match(request_for(1), response).code(), Code::unauthenticated);
}

TEST_F(Lookups, a_reported_miss_is_doubted_where_the_index_says_otherwise) {
  for (uint32_t i = 0; i < 40; ++i)
    add(index, one, block_of(i));
  EXPECT_EQ(report(50).value(), 2u);
  ASSERT_EQ(doubts.size(), 2u);
  EXPECT_EQ(doubts[0].server, ServerId{1});
  EXPECT_EQ(doubts[0].tenant, kTenant);
  EXPECT_EQ(report(50, 2).value(), 0u);
  EXPECT_EQ(report(0).value(), 0u);
  EXPECT_EQ(doubts.size(), 2u);
  v1::MatchResponse response;
  ASSERT_TRUE(match(request_for(50), response).is_ok());
  EXPECT_EQ(response.matched(), 40u) << "a report alone changes nothing";
}

TEST_F(Lookups, a_report_is_about_the_callers_own_blocks) {
  add(index, one, block_of(0));
  for (const auto& [role, name] :
       {std::pair(auth::Role::tenant, "other"), std::pair(auth::Role::worker, "other/gpu-1")}) {
    stub = stub_for(role, name);
    EXPECT_EQ(report(1).value(), 0u) << name;
  }
  stub = stub_for(auth::Role::server, "s1");
  EXPECT_EQ(report(1).status().code(), Code::permission_denied);
  stub = v1::Lookup::NewStub(callers.channel_without_token(port));
  EXPECT_EQ(report(1).status().code(), Code::unauthenticated);
  EXPECT_TRUE(doubts.empty());
  stub = stub_for(auth::Role::worker, "acme/gpu-1");
  EXPECT_EQ(report(1).value(), 1u);
}

TEST_F(Lookups, a_report_that_is_malformed_is_named) {
  EXPECT_TRUE(report(1024).has_value());
  const Status many = report(1025).status();
  EXPECT_EQ(many.code(), Code::invalid_argument);
  EXPECT_NE(many.message().find("1024"), std::string::npos) << many.message();
  v1::ReportMissesRequest request;
  request.set_space(rpc::to_bytes(index::kSpace));
  request.add_missed()->set_hash("fine");
  request.add_missed()->set_hash(std::string(33, 'x'));
  const Status bad = report(request).status();
  EXPECT_EQ(bad.code(), Code::invalid_argument);
  EXPECT_NE(bad.message().find("missed[1].hash"), std::string::npos) << bad.message();
  request.clear_space();
  EXPECT_NE(report(request).status().message().find("space"), std::string::npos);
}

TEST_F(Lookups, eight_thousand_hashes_among_a_hundred_thousand_blocks_take_milliseconds) {
  for (uint32_t i = 0; i < 100'000; ++i)
    add(index, one, block_of(i));
  const v1::MatchRequest request = request_for(8192);
  std::vector<double> millis;
  for (int round = 0; round < 40; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    v1::MatchResponse response;
    ASSERT_TRUE(match(request, response).is_ok());
    ASSERT_EQ(response.matched(), 8192u);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
    millis.push_back(spent.count() * 1e3);
  }
  std::sort(millis.begin(), millis.end());
  std::printf("median %.2f ms, slowest but one %.2f ms\n", millis[20], millis[38]);
  EXPECT_LT(registry.histogram("tarn_match_seconds", "Any.").quantile(0.5), Millis(50));
}

}  // namespace
}  // namespace tarn::router
