// Who may beat as which storage server, and how many there are.
#include "router/cluster/server_table.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/units.h"

namespace tarn::cluster {
namespace {

constexpr Millis kDeadAfter{600};

ServerBeat beat_of(const std::string& name, uint64_t incarnation = 7) {
  ServerBeat beat;
  beat.name = name;
  beat.control_endpoint = "127.0.0.1:7000";
  beat.incarnation = {incarnation};
  return beat;
}

class Table : public ::testing::Test {
 protected:
  bool knows(const std::string& name) const {
    const auto all = table.all();
    return std::any_of(all.begin(), all.end(),
                       [&](const HeardServer& server) { return server.beat.name == name; });
  }
  HeardServer heard(const std::string& name) const {
    for (const HeardServer& server : table.all()) {
      if (server.beat.name == name) return server;
    }
    ADD_FAILURE() << name << " is not known";
    return {};
  }
  void fill() {
    for (size_t i = 0; i < kServersMax; ++i)
      ASSERT_TRUE(table.beat(beat_of("s" + std::to_string(i))).is_ok()) << i;
  }

  ManualClock clock;
  ServerTable table{clock, kDeadAfter};
};

TEST_F(Table, has_room_for_1024_servers_that_beat) {
  fill();
  const Status full = table.beat(beat_of("one-more"));
  EXPECT_EQ(full.code(), Code::overloaded);
  EXPECT_NE(full.message().find("1024"), std::string::npos) << full.message();
  EXPECT_FALSE(knows("one-more"));
  EXPECT_TRUE(table.beat(beat_of("s0")).is_ok()) << "who is in stays in";
  EXPECT_EQ(table.all().size(), kServersMax);
}

TEST_F(Table, gives_the_seat_of_who_was_silent_longest) {
  fill();
  clock.advance(Millis(300));
  for (size_t i = 0; i < kServersMax; ++i) {
    if (i == 17) continue;
    ASSERT_TRUE(table.beat(beat_of("s" + std::to_string(i))).is_ok());
  }
  clock.advance(Millis(299));
  EXPECT_EQ(table.beat(beat_of("new")).code(), Code::overloaded) << "s17 is not dead yet";
  clock.advance(Millis(1));
  EXPECT_TRUE(table.beat(beat_of("new")).is_ok());
  EXPECT_FALSE(knows("s17"));
  EXPECT_EQ(table.all().size(), kServersMax);
  EXPECT_EQ(table.beat(beat_of("another")).code(), Code::overloaded) << "one seat, not two";
}

TEST_F(Table, keeps_when_a_server_was_first_heard_of_until_it_was_silent) {
  const Instant began = clock.now();
  ASSERT_TRUE(table.beat(beat_of("s")).is_ok());
  for (int i = 0; i < 5; ++i) {
    clock.advance(Millis(599));
    ASSERT_TRUE(table.beat(beat_of("s")).is_ok());
  }
  EXPECT_EQ(heard("s").first_heard, began);
  EXPECT_EQ(heard("s").last_heard, clock.now());
  clock.advance(kDeadAfter);
  ASSERT_TRUE(table.beat(beat_of("s")).is_ok());
  EXPECT_EQ(heard("s").first_heard, clock.now());
}

TEST_F(Table, lets_another_life_in_when_the_first_has_ended_or_is_silent) {
  ASSERT_TRUE(table.beat(beat_of("s", 1)).is_ok());
  EXPECT_EQ(table.beat(beat_of("s", 2)).code(), Code::exists) << "a second process of one name";
  table.part("s", {9});
  EXPECT_EQ(table.beat(beat_of("s", 2)).code(), Code::exists) << "that was not its stream";
  table.part("nobody", {1});
  table.part("s", {1});
  EXPECT_TRUE(knows("s")) << "it is not dead yet";
  EXPECT_TRUE(table.beat(beat_of("s", 2)).is_ok());
  EXPECT_EQ(heard("s").beat.incarnation, Incarnation{2});
  // The old one is still there after all, and is the second now.
  EXPECT_EQ(table.beat(beat_of("s", 1)).code(), Code::exists);
  clock.advance(kDeadAfter);
  EXPECT_TRUE(table.beat(beat_of("s", 1)).is_ok());
}

TEST_F(Table, a_stream_that_is_taken_up_again_is_not_at_its_end) {
  ASSERT_TRUE(table.beat(beat_of("s", 1)).is_ok());
  table.part("s", {1});
  ASSERT_TRUE(table.beat(beat_of("s", 1)).is_ok());
  EXPECT_EQ(table.beat(beat_of("s", 2)).code(), Code::exists);
}

TEST_F(Table, takes_the_latest_of_what_a_server_says) {
  ServerBeat beat = beat_of("s");
  ASSERT_TRUE(table.beat(beat).is_ok());
  beat.control_endpoint = "10.0.0.9:1";
  beat.load.blocks = 42;
  beat.caught_up_slots = {{1}, {2}};
  ASSERT_TRUE(table.beat(beat).is_ok());
  EXPECT_EQ(heard("s").beat.control_endpoint, "10.0.0.9:1");
  EXPECT_EQ(heard("s").beat.load.blocks, 42u);
  EXPECT_EQ(heard("s").beat.caught_up_slots.size(), 2u);
  ASSERT_TRUE(table.beat(beat_of("s")).is_ok());
  EXPECT_TRUE(heard("s").beat.caught_up_slots.empty()) << "not said again, so not so";
}

struct Edge {
  const char* what;
  void (*spoil)(ServerBeat&);
  const char* words;  // of the refusal; empty where it is fine
};

class Edges : public Table, public ::testing::WithParamInterface<Edge> {};

const Edge kEdges[] = {
    {"weight 1,000", [](ServerBeat& beat) { beat.weight = ring::kWeightMax; }, ""},
    {"weight 1,001", [](ServerBeat& beat) { beat.weight = ring::kWeightMax + 1; },
     "weight: above 1000"},
    {"no lane", [](ServerBeat& beat) { beat.lanes = 0; }, "lanes: must be 1 to 1024"},
    {"1,024 lanes", [](ServerBeat& beat) { beat.lanes = ring::kLanesMax; }, ""},
    {"1,025 lanes", [](ServerBeat& beat) { beat.lanes = ring::kLanesMax + 1; }, "lanes"},
    {"a domain of 128", [](ServerBeat& beat) { beat.domain = std::string(kNameBytesMax, 'd'); },
     ""},
    {"a domain of 129", [](ServerBeat& beat) { beat.domain = std::string(kNameBytesMax + 1, 'd'); },
     "domain: longer than 128 bytes"},
    {"an endpoint of 256",
     [](ServerBeat& beat) { beat.control_endpoint = std::string(251, 'h') + ":7000"; }, ""},
    {"an endpoint of 257",
     [](ServerBeat& beat) { beat.control_endpoint = std::string(252, 'h') + ":7000"; },
     "control_endpoint: is not HOST:PORT"},
    {"no port", [](ServerBeat& beat) { beat.control_endpoint = "localhost"; },
     "control_endpoint: is not HOST:PORT"},
    {"no incarnation", [](ServerBeat& beat) { beat.incarnation = {}; }, "incarnation: is 0"},
    {"all slots", [](ServerBeat& beat) { beat.caught_up_slots.resize(kSessionSlots); }, ""},
    {"more slots than there are",
     [](ServerBeat& beat) { beat.caught_up_slots.resize(kSessionSlots + 1); },
     "caught_up_slots: more than 1024"},
};

INSTANTIATE_TEST_SUITE_P(Cases, Edges, ::testing::ValuesIn(kEdges));

// What is let in here stands in the config, which would refuse it for the whole cluster.
TEST_P(Edges, are_where_the_config_has_its_own) {
  ServerBeat beat = beat_of("s");
  GetParam().spoil(beat);
  const Status status = table.beat(beat);
  EXPECT_EQ(status.is_ok(), std::string(GetParam().words).empty()) << GetParam().what;
  EXPECT_EQ(knows("s"), status.is_ok());
  if (!status.is_ok()) {
    EXPECT_EQ(status.code(), Code::invalid_argument);
    EXPECT_NE(status.message().find(GetParam().words), std::string::npos) << status.message();
    return;
  }
  ring::ClusterConfig config;
  config.cluster = "test";
  config.epoch = {1};
  ring::Member member;
  member.id = {1};
  member.name = beat.name;
  member.domain = beat.domain;
  member.weight = beat.weight;
  member.lanes = beat.lanes;
  member.control_endpoint = beat.control_endpoint;
  config.members.push_back(member);
  EXPECT_TRUE(ring::validate(config).is_ok()) << GetParam().what;
}

}  // namespace
}  // namespace tarn::cluster
