// The slots of a port's connections: never used for two, found by port and by endpoint.
#include "common/fabric/ucx_peers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace tarn::fabric {
namespace {

// UCX is not asked here: an endpoint is a number.
ucp_ep_h endpoint(uintptr_t number) {
  return reinterpret_cast<ucp_ep_h>(number * 64);
}

UcxPeer* open_to(UcxPeers& peers, uint64_t port_id, uint64_t link) {
  UcxPeer* const peer = peers.take();
  EXPECT_NE(peer, nullptr);
  peer->state = UcxPeer::State::open;
  peer->port_id = port_id;
  peer->link = link;
  peer->endpoints.push_back({});
  peers.open(peer);
  return peer;
}

TEST(UcxPeers, ASlotThatWasGivenBackIsNewToItsNextUser) {
  UcxPeers peers(nullptr, 2);
  UcxPeer* const first = open_to(peers, 7, 1);
  UcxPeer* const second = open_to(peers, 8, 2);
  EXPECT_EQ(peers.take(), nullptr) << "there are no more";
  EXPECT_EQ(peers.in_use().size(), 2u);
  const uint64_t generation = first->generation;
  peers.leave(first);
  EXPECT_EQ(peers.take(), nullptr) << "it closes, but UCX has not let go";
  peers.give_back(first);
  EXPECT_EQ(peers.take(), first);
  EXPECT_GT(first->generation, generation) << "who had it before is fenced off";
  EXPECT_TRUE(first->endpoints.empty());
  EXPECT_EQ(second->link, 2u);
}

TEST(UcxPeers, TheLinkIsToldWhereOneConnectionIsOpen) {
  UcxPeers peers(nullptr, 8);
  EXPECT_EQ(peers.link_of(7), 0u);
  UcxPeer* const first = open_to(peers, 7, 11);
  open_to(peers, 9, 13);
  EXPECT_EQ(peers.link_of(7), 11u);
  UcxPeer* const second = open_to(peers, 7, 12);
  EXPECT_EQ(peers.link_of(7), 0u) << "either may be meant";
  EXPECT_EQ(peers.open_to(7), (std::vector<UcxPeer*>{first, second}));
  peers.leave(first);
  EXPECT_EQ(peers.link_of(7), 12u);
  EXPECT_EQ(peers.link_of(9), 13u);
  EXPECT_EQ(peers.open_count(), 2u);
}

TEST(UcxPeers, AKnockIsLetInWhereNobodyIsYet) {
  UcxPeers peers(nullptr, 8);
  int senders = 0;
  const auto knock = [&] { return UcxKnock{7, "sender-" + std::to_string(senders++)}; };
  EXPECT_EQ(peers.to_let_in(knock()), nullptr);
  UcxPeer* const oldest = open_to(peers, 7, 1);
  UcxPeer* const middle = open_to(peers, 7, 2);
  UcxPeer* const newest = open_to(peers, 7, 3);
  EXPECT_EQ(peers.to_let_in(knock()), newest);
  newest->endpoints.push_back({});
  EXPECT_EQ(peers.to_let_in(knock()), middle);
  middle->endpoints.push_back({});
  oldest->endpoints.push_back({});
  EXPECT_EQ(peers.to_let_in(knock()), newest) << "all have one: another of its senders";
}

// Each costs an endpoint, which leads wherever the knock says.
TEST(UcxPeers, OneConnectionLetsInAFew) {
  UcxPeers peers(nullptr, 1);
  UcxPeer* const peer = open_to(peers, 7, 1);
  const UcxKnock first{7, "sender"};
  ASSERT_EQ(peers.to_let_in(first), peer);
  peer->endpoints.push_back({.address = first.address});
  EXPECT_EQ(peers.to_let_in(first), nullptr) << "this one is in";
  for (size_t i = peer->endpoints.size(); i < kUcxEndpointsOfPeerMax; ++i) {
    const UcxKnock other{7, "sender-" + std::to_string(i)};
    ASSERT_EQ(peers.to_let_in(other), peer);
    peer->endpoints.push_back({.address = other.address});
  }
  EXPECT_EQ(peers.to_let_in({7, "one more"}), nullptr);
}

TEST(UcxPeers, AKnockWaitsForAConnectionToItsPortAndCountsOnce) {
  UcxPeers peers(nullptr, 2);
  peers.note_knock({7, "first"});
  peers.note_knock({8, "other"});
  peers.note_knock({7, "second"});
  EXPECT_TRUE(peers.has_knocks());
  EXPECT_TRUE(peers.take_knocks().empty()) << "nobody is connected";
  EXPECT_FALSE(peers.has_knocks()) << "nothing has changed since";
  open_to(peers, 7, 1);
  EXPECT_TRUE(peers.has_knocks());
  const auto knocks = peers.take_knocks();
  ASSERT_EQ(knocks.size(), 2u);
  EXPECT_EQ(knocks[0].address, "second") << "the other may be of a connection that has gone";
  EXPECT_EQ(knocks[1].address, "first");
  EXPECT_TRUE(peers.take_knocks().empty());
  open_to(peers, 8, 2);
  ASSERT_EQ(peers.take_knocks().size(), 1u);
}

// Whoever knocks and is not known costs a place among so many, and no more.
TEST(UcxPeers, KnocksOfStrangersHaveALimit) {
  UcxPeers peers(nullptr, 1);
  for (uint64_t i = 1; i <= kUcxKnocksMax + 100; ++i)
    peers.note_knock({7, std::to_string(i)});
  open_to(peers, 7, 1);
  const auto knocks = peers.take_knocks();
  ASSERT_EQ(knocks.size(), kUcxKnocksMax);
  EXPECT_EQ(knocks.back().address, "101") << "the oldest have gone";
}

// Connections that come and go at random, beside plain lists of them.
TEST(UcxPeers, FindsWhatAModelFinds) {
  std::mt19937_64 random(2);
  UcxPeers peers(nullptr, 20);
  std::map<uint64_t, std::vector<UcxPeer*>> by_port;
  std::map<ucp_ep_h, UcxPeer*> by_endpoint;
  std::set<UcxPeer*> used;
  uintptr_t next_endpoint = 1;
  for (int step = 0; step < 5000; ++step) {
    const uint64_t port_id = 1 + random() % 5;
    auto& at_port = by_port[port_id];
    if (random() % 2 == 0 && used.size() < 20) {
      UcxPeer* const peer = open_to(peers, port_id, 100 + random() % 1000);
      ASSERT_TRUE(used.insert(peer).second) << "one slot for two";
      at_port.push_back(peer);
      const ucp_ep_h bound = endpoint(next_endpoint++);
      peers.bind(bound, peer);
      by_endpoint[bound] = peer;
    } else if (!at_port.empty()) {
      UcxPeer* const peer = at_port[random() % at_port.size()];
      std::erase(at_port, peer);
      peers.leave(peer);
      std::erase_if(by_endpoint, [&](const auto& each) {
        if (each.second == peer) peers.unbind(each.first);
        return each.second == peer;
      });
      peers.give_back(peer);
      used.erase(peer);
    }
    ASSERT_EQ(peers.open_to(port_id), at_port);
    ASSERT_EQ(peers.link_of(port_id), at_port.size() == 1 ? at_port[0]->link : 0);
    ASSERT_EQ(peers.in_use().size(), used.size());
    ASSERT_EQ(peers.open_count(), used.size());
    const ucp_ep_h any = endpoint(1 + random() % next_endpoint);
    const auto owner = by_endpoint.find(any);
    ASSERT_EQ(peers.owner_of(any), owner == by_endpoint.end() ? nullptr : owner->second);
  }
}

}  // namespace
}  // namespace tarn::fabric
