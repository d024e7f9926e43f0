// A client whose ticket was past its half could not connect to any server while all routers hung:
// asking them for another took the whole deadline of the Connect, and nothing was left to show the
// ticket that it had. Every lost connection of a cluster without routers stayed lost.
#include <gmock/gmock.h>

#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using ::testing::ElementsAre;

class OldTicket : public KvTest {
 protected:
  void SetUp() override {
    cluster = std::make_unique<FakeCluster>(1);
    of_state([](ClusterState& s) { return s.ticket_life_ms = 200; });
    client.emplace(Client::connect(cluster->options()).value());
    space.emplace(open());
    ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  }
  void lose_the_connection() { fault::arm("link.send", {fault::Action::fail, 0, 1, 0}); }

  Chain chain{"a", 3};
};

TEST_F(OldTicket, IsShownWhileAllRoutersHang) {
  cluster->router(0).hang(true);
  const Instant half_over = system_clock().now() + std::chrono::milliseconds(110);
  ASSERT_TRUE(becomes([&] { return system_clock().now() > half_over; }));
  lose_the_connection();
  EXPECT_THAT(get(chain), ElementsAre(Outcome::ok));
  EXPECT_EQ(cluster->server(0).last_ticket(), "ticket 1");
  cluster->router(0).hang(false);
}

}  // namespace
}  // namespace tarn::sdk
