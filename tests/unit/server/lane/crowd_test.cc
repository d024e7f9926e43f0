// Many requesters at one lane, some of which stopped reading: what they may take from the others.
#include <gtest/gtest.h>

#include "common/wire/seal.h"
#include "server/lane/get_service.h"
#include "server/thread/inbox.h"
#include "tests/unit/server/lane/rig.h"

namespace tarn::lane {
namespace {

class Crowd : public testing::Test {
 protected:
  void SetUp() override { x_lane.set_config(make_config(1, 1)); }

  ClientRig& join(const std::string& name) {
    const uint64_t id = 100 + x_clients.size();
    x_clients.push_back(std::make_unique<ClientRig>(
        x_hub, x_lane, ClientRig::Options{.name = name, .connection_id = id}));
    return *x_clients.back();
  }

  const Peer& peer_of(const ClientRig& client) {
    return *x_lane.desk->peers.find(client.options.connection_id);
  }

  // Asks for the same block over and over, as often as the connection may, and reads nothing.
  ClientRig& join_mute(const std::string& name) {
    ClientRig& mute = join(name);
    x_hub.set_path("s1", name, fabric::LoopHub::Path::hold);
    wire::GetRequest request;
    request.head = mute.request_of({}).head;
    for (size_t i = 0; i < GetService::kSendsPerGetMax; ++i)
      request.items.push_back({{}, 1 << 20, test_hash(1)});
    wire::HeaderBuffer header;
    for (uint32_t i = 0; i < 2 * kCreditsPromised; ++i) {
      wire::encode(mute.next_route(), request, header);
      wire::sign(header, *mute.mac);
      mute.send_raw(header);
    }
    for (int i = 0; i < 50; ++i)
      x_lane.turn();
    return mute;
  }

  // Ends what the mute ones hold, so that the lane can go.
  void let_all_read() {
    for (const auto& client : x_clients)
      x_hub.set_path("s1", client->options.name, fabric::LoopHub::Path::pass);
    x_clients.front()->also_turn = [this] {
      for (const auto& client : x_clients)
        client->port->progress();
    };
    EXPECT_TRUE(x_clients.front()->until([&] { return x_lane.service->is_idle(); }));
  }

  fabric::LoopHub x_hub;
  ManualClock x_clock;
  LaneRig x_lane{x_hub, x_clock, "s1"};
  std::vector<std::unique_ptr<ClientRig>> x_clients;
};

TEST_F(Crowd, OneThatStoppedReadingTakesANinthOfTheSends) {
  ASSERT_EQ(join("honest").put({.hash = 1}), Code::ok);
  const ClientRig& mute = join_mute("mute");
  EXPECT_NEAR(peer_of(mute).sends, GetService::kSendsMax / 9.0, 1.0);
  EXPECT_EQ(x_clients[0]->get({.hash = 1}), Code::ok);
  let_all_read();
  EXPECT_EQ(peer_of(mute).sends, 0u);
}

TEST_F(Crowd, TwentyThatStoppedReadingStallNobodyElse) {
  ASSERT_EQ(join("honest").put({.hash = 1}), Code::ok);
  uint64_t held = 0;
  for (int i = 0; i < 20; ++i)
    held += peer_of(join_mute("mute" + std::to_string(i))).sends;
  EXPECT_LT(held, GetService::kSendsMax);
  EXPECT_EQ(x_clients[0]->get({.hash = 1}), Code::ok);
  EXPECT_EQ(x_clients[0]->exists({.hash = 1}), Code::ok);
  EXPECT_EQ(x_clients[0]->put({.hash = 2}), Code::ok);
  let_all_read();
}

TEST_F(Crowd, WhoStartsReadingAgainGetsAllThatItAskedFor) {
  ASSERT_EQ(join("honest").put({.hash = 1}), Code::ok);
  ClientRig& mute = join_mute("mute");
  let_all_read();
  size_t answered = 0;
  for (const auto& [sequence, replies] : mute.replies)
    answered += replies.size();
  EXPECT_EQ(answered, 2 * kCreditsPromised * GetService::kSendsPerGetMax);
}

PeerSpec spec_of(uint64_t id, const std::string& holder, bool is_server) {
  PeerSpec spec;
  spec.connection_id = id;
  const auto role = is_server ? auth::Role::server : auth::Role::tenant;
  spec.ticket.holder = *auth::make_identity(role, holder);
  spec.ticket.rights = is_server ? auth::right::kAll : auth::right::kRead;
  spec.client_key = std::string(32, 'k');
  return spec;
}

TEST(PeerSeats, tenants_leave_seats_for_the_servers_that_replicate) {
  Peers peers;
  constexpr size_t kForTenants = Peers::kPeersMax - Peers::kServerPeersReserved;
  for (uint64_t id = 1; id <= kForTenants; ++id) {
    const std::string tenant = "t" + std::to_string(id / Peers::kPeersOfTenantMax);
    ASSERT_TRUE(peers.add(spec_of(id, tenant, false)).has_value()) << id;
  }
  const auto one_more = peers.add(spec_of(kForTenants + 1, "late", false));
  ASSERT_FALSE(one_more.has_value());
  EXPECT_EQ(one_more.error().code(), Code::overloaded);
  for (uint64_t id = kForTenants + 1; id <= Peers::kPeersMax; ++id)
    ASSERT_TRUE(peers.add(spec_of(id, "s1", true)).has_value()) << id;
  EXPECT_EQ(peers.add(spec_of(9999, "s1", true)).error().code(), Code::overloaded);
}

TEST(PeerSeats, a_tenant_has_its_own_limit_and_gets_the_seat_of_who_left) {
  Peers peers;
  for (uint64_t id = 1; id <= Peers::kPeersOfTenantMax; ++id)
    ASSERT_TRUE(peers.add(spec_of(id, "greedy", false)).has_value());
  EXPECT_EQ(peers.add(spec_of(5000, "greedy", false)).error().code(), Code::overloaded);
  EXPECT_TRUE(peers.add(spec_of(5000, "modest", false)).has_value());
  peers.close(*peers.find(1));
  peers.sweep();
  EXPECT_TRUE(peers.add(spec_of(5001, "greedy", false)).has_value());
}

using thread::Inbox;

std::unique_ptr<Inbox> open_inbox() {
  return std::make_unique<Inbox>(std::move(*fabric::Event::open()));
}

TEST(InboxLimits, a_full_inbox_still_takes_the_clusters_news) {
  const auto inbox = open_inbox();
  size_t ran = 0;
  for (size_t i = 0; i < Inbox::kCapacity; ++i)
    ASSERT_TRUE(inbox->post([&] { ++ran; }).is_ok());
  EXPECT_EQ(inbox->post([&] { ++ran; }).code(), Code::overloaded);
  for (size_t i = 0; i < Inbox::kReserved; ++i)
    ASSERT_TRUE(inbox->post_news([&] { ++ran; }).is_ok());
  EXPECT_EQ(inbox->post_news([&] { ++ran; }).code(), Code::overloaded);
  EXPECT_EQ(inbox->run_all(), Inbox::kCapacity + Inbox::kReserved);
  EXPECT_EQ(ran, Inbox::kCapacity + Inbox::kReserved);
  EXPECT_TRUE(inbox->post([] {}).is_ok());
}

TEST(InboxLimits, what_tasks_post_waits_for_the_next_call) {
  const auto inbox = open_inbox();
  int ran = 0;
  std::function<void()> again = [&] {
    ++ran;
    ASSERT_TRUE(inbox->post(again).is_ok());
  };
  ASSERT_TRUE(inbox->post(again).is_ok());
  EXPECT_EQ(inbox->run_all(), 1u);
  EXPECT_EQ(inbox->run_all(), 1u);
  EXPECT_EQ(ran, 2);
}

TEST(InboxLimits, a_closed_inbox_runs_what_waits_and_takes_nothing_new) {
  const auto inbox = open_inbox();
  int ran = 0;
  ASSERT_TRUE(inbox->post([&] { ++ran; }).is_ok());
  inbox->close();
  EXPECT_EQ(inbox->post([&] { ++ran; }).code(), Code::unavailable);
  EXPECT_EQ(inbox->post_news([&] { ++ran; }).code(), Code::unavailable);
  EXPECT_EQ(inbox->run_all(), 1u);
  EXPECT_EQ(ran, 1);
}

}  // namespace
}  // namespace tarn::lane
