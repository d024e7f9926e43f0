// Match by digests between the SDK and routers that take them, or are older.
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <atomic>

#include "common/rpc/convert.h"
#include "proto/tarn/v1/router.grpc.pb.h"
#include "router/rpc/lookup_service.h"
#include "sdk/cpp/src/rpc_channels.h"
#include "sdk/cpp/src/rpc_router.h"
#include "tests/unit/router/caller.h"
#include "tests/unit/router/index/blocks.h"

namespace tarn::router {
namespace {

constexpr uint32_t kBlocks = 100;
constexpr size_t kNewer = 0;
constexpr size_t kOlder = 1;

// A router from before digests: it finds all that it is asked for by hashes, and sees nothing else.
struct OlderLookup final : v1::Lookup::Service {
  grpc::Status Match(grpc::ServerContext*, const v1::MatchRequest* request,
                     v1::MatchResponse* response) override {
    by_digests += request->digests().empty() ? 0 : 1;
    const size_t packed =
        request->hash_bytes() == 0 ? 0 : request->packed_hashes().size() / request->hash_bytes();
    response->set_matched(static_cast<uint32_t>(packed) +
                          static_cast<uint32_t>(request->hashes_size()));
    return grpc::Status::OK;
  }
  std::atomic<int> by_digests{0};
};

class Digests : public testing::Test {
 protected:
  void SetUp() override {
    for (uint32_t i = 0; i < kBlocks; ++i) {
      index::StoredBlock block = index::block_of("c", i);
      block.tenant = block::tenant_id("acme");
      add(index, one, block);
    }
    LookupOptions options;
    options.index = &index;
    options.config = &config;
    options.authenticator = &callers.authenticator();
    options.registry = &registry;
    options.is_synced = [] { return true; };
    options.doubt = [](std::span<const index::Doubt>) {};
    newer = make_lookup_service(std::move(options));
    const std::string endpoints = serve(*newer) + "," + serve(older);
    ClientOptions client;
    client.endpoint = endpoints;
    client.credentials = "/nonexistent";
    client.token = callers.material(auth::Role::tenant, "acme").token;
    channels = sdk::RouterChannels::open(sdk::CredentialSource::open(client).value()).value();
    router = std::make_unique<sdk::RpcRouter>(*channels);
    ask(kNewer);
  }
  void TearDown() override {
    channels->stop();
    for (const auto& server : servers)
      server->Shutdown();
  }

  std::string serve(grpc::Service& service) {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    servers.push_back(builder.BuildAndStart());
    return "plain://127.0.0.1:" + std::to_string(port);
  }
  // The next calls go there.
  void ask(size_t which) {
    const auto soon = std::chrono::system_clock::now() + std::chrono::seconds(10);
    ASSERT_TRUE(channels->channel(which)->WaitForConnected(soon));
    channels->avoid(1 - which);
  }
  sdk::Matched match(uint32_t count) {
    const auto hashes = index::hashes_of("c", count);
    const auto matched =
        router->match(index::kSpace, hashes, 1, system_clock().now() + std::chrono::seconds(10));
    EXPECT_TRUE(matched.has_value()) << matched.status().to_string();
    return matched.has_value() ? *matched : sdk::Matched();
  }

  Callers callers;
  index::Index index{42};
  index::Handle one = index.attach({1});
  cluster::ConfigView config;
  metrics::Registry registry;
  std::unique_ptr<grpc::Service> newer;
  OlderLookup older;
  std::vector<std::unique_ptr<grpc::Server>> servers;
  std::unique_ptr<sdk::RouterChannels> channels;
  std::unique_ptr<sdk::RpcRouter> router;
};

TEST_F(Digests, say_what_hashes_say_with_all_anchors) {
  const sdk::Matched by_hashes = match(kBlocks + 5);
  const sdk::Matched by_digests = match(kBlocks + 5);
  for (const sdk::Matched& matched : {by_hashes, by_digests}) {
    EXPECT_EQ(matched.count, kBlocks);
    ASSERT_EQ(matched.runs.size(), 4u);
    for (uint32_t run = 0; run < 4; ++run) {
      EXPECT_EQ(matched.runs[run].anchor, index::block_of("c", 32 * run).hash);
      EXPECT_EQ(matched.runs[run].first, 32 * run);
      EXPECT_EQ(matched.runs[run].holders, std::vector<ServerId>{{1}});
    }
  }
}

TEST_F(Digests, are_sent_only_where_the_router_said_that_it_takes_them) {
  ask(kOlder);
  EXPECT_EQ(match(kBlocks).count, kBlocks);
  EXPECT_EQ(older.by_digests, 0);
  ask(kNewer);
  (void)match(kBlocks);
  ask(kOlder);
  EXPECT_EQ(match(kBlocks).count, kBlocks) << "asked again by hashes";
  EXPECT_EQ(older.by_digests, 1);
  EXPECT_EQ(match(kBlocks).count, kBlocks);
  EXPECT_EQ(older.by_digests, 1) << "once is enough";
}

TEST_F(Digests, are_not_for_short_chains) {
  (void)match(kBlocks);
  ask(kOlder);
  EXPECT_EQ(match(63).count, 63u);
  EXPECT_EQ(older.by_digests, 0);
  ask(kNewer);
  (void)match(kBlocks);
  ask(kOlder);
  EXPECT_EQ(match(64).count, 64u);
  EXPECT_EQ(older.by_digests, 1);
}

}  // namespace
}  // namespace tarn::router
