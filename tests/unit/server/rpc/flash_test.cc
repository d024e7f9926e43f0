#include <gtest/gtest.h>

#include <map>

#include "server/flash/region_format.h"
#include "server/io/drive_label.h"
#include "tests/unit/server/rpc/server_rig.h"

namespace tarn::server {
namespace {

constexpr size_t kBytes = 1 << 20;
// What dram does not hold.
constexpr uint64_t kBlocks = 110;

class FlashServerTest : public ServerTest {
 protected:
  ServerOptions flash_options() {
    ServerOptions made = options("s1", "");
    made.lanes = 1;
    made.dram_bytes = 96 * kMiB;
    made.flash_paths = {x_data + "/drive"};
    made.flash_bytes = io::kLabelAreaBytes + 5 * flash::kRegionBytes;
    return made;
  }

  void end_servers() {
    for (auto& server : x_servers)
      server->close();
    x_servers.clear();
  }

  // By tier.
  std::map<v1::Tier, int> inventory(const Server& server) {
    const auto channel = rpc::open_channel(server.advertised(), auth::Role::server,
                                           material_of(auth::Role::router, "r1"));
    const auto stub = v1::StorageControl::NewStub(channel.value());
    v1::InventoryRequest all;
    all.set_last_position(UINT64_MAX);
    grpc::ClientContext context;
    rpc::set_timeout(context, Millis(10'000));
    const auto reader = stub->Inventory(&context, all);
    std::map<v1::Tier, int> blocks;
    v1::InventoryChunk chunk;
    while (reader->Read(&chunk))
      for (const v1::StoredBlock& block : chunk.blocks())
        ++blocks[block.tier()];
    EXPECT_TRUE(reader->Finish().ok());
    return blocks;
  }

  // How many of the blocks come back, whole.
  uint64_t got(TestClient& client) {
    uint64_t found = 0;
    for (uint64_t hash = 1; hash <= kBlocks; ++hash) {
      const Code code = client.get(hash, kBytes);
      EXPECT_TRUE(code == Code::ok || code == Code::not_found) << hash << ' ' << code_name(code);
      found += code == Code::ok ? 1 : 0;
    }
    return found;
  }
};

TEST_F(FlashServerTest, what_dram_evicts_comes_back_from_flash_also_after_a_restart) {
  uint64_t on_flash = 0;
  {
    Server& server = start_settled(flash_options());
    TestClient client(x_router, server.advertised(), fabric::Kind::grpc);
    ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
    for (uint64_t hash = 1; hash <= kBlocks; ++hash)
      ASSERT_EQ(client.put_in_time(hash, kBytes), Code::ok) << hash << ' ' << client.message;
    const uint64_t found = got(client);
    // A drive that is slower than the puts misses some.
    const uint64_t lost = counted(server, "tarn_flash_put_failures_total");
    EXPECT_GE(found + lost, kBlocks);
    EXPECT_GT(found, kBlocks / 2);
    EXPECT_GT(counted(server, "tarn_flash_get_blocks_total"), 20u);
    EXPECT_EQ(counted(server, "tarn_flash_get_failures_total"), 0u);
    const auto blocks = inventory(server);
    on_flash = static_cast<uint64_t>(blocks.at(v1::TIER_FLASH));
    EXPECT_GT(on_flash, kBlocks / 5);
    end_servers();
  }
  Server& server = start_settled(flash_options());
  TestClient client(x_router, server.advertised(), fabric::Kind::grpc);
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  EXPECT_GE(inventory(server).at(v1::TIER_FLASH), static_cast<int>(on_flash));
  EXPECT_GE(got(client), on_flash);
  EXPECT_EQ(client.put_in_time(1, kBytes),
            client.get(1, kBytes) == Code::ok ? Code::exists : Code::ok);
}

TEST_F(FlashServerTest, what_was_put_on_flash_is_back_after_a_restart) {
  {
    Server& server = start_settled(flash_options());
    TestClient client(x_router, server.advertised(), fabric::Kind::grpc);
    ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
    EXPECT_TRUE(client.answer.flash_puts());
    EXPECT_EQ(client.put_in_time(1, kBytes), Code::ok);  // in memory, and then there as well
    client.on_flash = true;
    EXPECT_EQ(client.put_in_time(1, kBytes), Code::exists);
    for (uint64_t hash = 2; hash <= kBlocks; ++hash)
      ASSERT_EQ(client.put_in_time(hash, kBytes), Code::ok) << hash << ' ' << client.message;
    EXPECT_EQ(inventory(server)[v1::TIER_FLASH], static_cast<int>(kBlocks));
    end_servers();
  }
  Server& server = start_settled(flash_options());
  TestClient client(x_router, server.advertised(), fabric::Kind::grpc);
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  EXPECT_EQ(got(client), kBlocks);
}

TEST_F(FlashServerTest, a_server_without_a_drive_refuses_the_class_in_words) {
  Server& server = start_settled(options("s1", ""));
  TestClient client(x_router, server.advertised(), fabric::Kind::grpc);
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  client.on_flash = true;
  EXPECT_EQ(client.put_in_time(1, kBytes), Code::unsupported);
  EXPECT_NE(client.message.find("flash_paths"), std::string::npos) << client.message;
}

}  // namespace
}  // namespace tarn::server
