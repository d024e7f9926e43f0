#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/unit/server/object/s3_server.h"
#include "tests/unit/server/rpc/server_rig.h"

namespace tarn::server {
namespace {

constexpr size_t kBytes = 1 << 20;
// What dram does not hold: its rest fills a pack, and a little of another.
constexpr uint64_t kBlocks = 190;

class ObjectServerTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    ::setenv("AWS_ACCESS_KEY_ID", "test-id", 1);
    ::setenv("AWS_SECRET_ACCESS_KEY", "test-secret", 1);
    x_s3.make_bucket("bucket");
  }

  ServerOptions object_options() {
    ServerOptions made = options("s1", "");
    made.lanes = 1;
    made.dram_bytes = 96 * kMiB;
    made.object_url = "s3://bucket/tarn";
    made.object_endpoint = x_s3.endpoint();
    return made;
  }

  void end_servers() {
    for (auto& server : x_servers)
      server->close();
    x_servers.clear();
  }

  // What the server tells routers that it has in the object store.
  int in_inventory(const Server& server) {
    const auto channel = rpc::open_channel(server.advertised(), auth::Role::server,
                                           material_of(auth::Role::router, "r1"));
    const auto stub = v1::StorageControl::NewStub(channel.value());
    v1::InventoryRequest all;
    all.set_last_position(UINT64_MAX);
    grpc::ClientContext context;
    rpc::set_timeout(context, Millis(10'000));
    const auto reader = stub->Inventory(&context, all);
    int blocks = 0;
    v1::InventoryChunk chunk;
    bool is_done = false;
    while (reader->Read(&chunk)) {
      is_done = chunk.done();
      blocks += static_cast<int>(std::ranges::count_if(
          chunk.blocks(), [](const auto& block) { return block.tier() == v1::TIER_OBJECT; }));
    }
    EXPECT_TRUE(reader->Finish().ok());
    EXPECT_TRUE(is_done);
    return blocks;
  }

  // Each is asked for at once, so that it is worth keeping.
  void put_all(TestClient& client) {
    for (uint64_t hash = 1; hash <= kBlocks; ++hash) {
      ASSERT_EQ(client.put_in_time(hash, kBytes), Code::ok) << hash << ' ' << client.message;
      ASSERT_EQ(client.get(hash, kBytes), Code::ok) << hash;
    }
  }
  uint64_t got(TestClient& client) {
    uint64_t found = 0;
    for (uint64_t hash = 1; hash <= kBlocks; ++hash) {
      const Code code = client.get(hash, kBytes);
      EXPECT_TRUE(code == Code::ok || code == Code::not_found) << hash << ' ' << code_name(code);
      found += code == Code::ok ? 1 : 0;
    }
    return found;
  }

  object::S3Server x_s3;
};

TEST_F(ObjectServerTest, what_dram_lets_go_comes_back_also_after_a_restart) {
  {
    Server& server = start_settled(object_options());
    TestClient client(x_router, server.advertised(), fabric::Kind::grpc);
    ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
    put_all(client);
    ASSERT_TRUE(until([&] { return counted(server, "tarn_object_put_blocks_total") > 30; }));
    EXPECT_GT(got(client), 100u);
    EXPECT_GT(counted(server, "tarn_object_get_blocks_total"), 20u);
    EXPECT_EQ(counted(server, "tarn_object_get_failures_total"), 0u);
    end_servers();
  }
  Server& server = start_settled(object_options());
  TestClient client(x_router, server.advertised(), fabric::Kind::grpc);
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  EXPECT_TRUE(until([&] { return got(client) > 60u; }));
  EXPECT_EQ(counted(server, "tarn_object_get_failures_total"), 0u);
  EXPECT_GT(in_inventory(server), 60);
  // Nor does whoever asks for it wait for an object store that hangs.
  x_s3.stop();
  const Instant begun = system_clock().now();
  (void)in_inventory(server);
  EXPECT_LT(system_clock().now() - begun, std::chrono::seconds(9));
}

TEST_F(ObjectServerTest, without_its_object_store_a_server_starts_and_serves) {
  x_s3.kill();
  Server& server = start_settled(object_options());
  TestClient client(x_router, server.advertised(), fabric::Kind::grpc);
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  put_all(client);
  EXPECT_GT(got(client), 20u);
  EXPECT_EQ(counted(server, "tarn_object_put_blocks_total"), 0u);
}

TEST_F(ObjectServerTest, options_that_cannot_be_are_named) {
  ServerOptions made = object_options();
  made.object_url = "bucket/tarn";
  const auto wrong = Server::open(std::move(made));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code(), Code::invalid_argument);
  EXPECT_NE(wrong.error().message().find("object_url"), std::string::npos);
}

}  // namespace
}  // namespace tarn::server
