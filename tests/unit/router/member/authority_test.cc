#include "router/member/authority.h"

#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "router/member/state_text.h"
#include "tests/unit/router/member/authority_fixture.h"

namespace tarn::member {
namespace {

INSTANTIATE_TEST_SUITE_P(kinds, AuthorityTest, ::testing::Values("file", "etcd"));

TEST_P(AuthorityTest, holds_nothing_at_first) {
  const auto authority = open("r1");
  const auto stored = authority->load();
  ASSERT_TRUE(stored.has_value()) << stored.status().to_string();
  EXPECT_FALSE(stored->state.has_value());
  EXPECT_EQ(stored->revision, 0u);
  EXPECT_TRUE(authority->reachable());
  EXPECT_EQ(authority->describe().substr(0, 4), GetParam());
}

TEST_P(AuthorityTest, gives_back_what_was_swapped_in) {
  const auto authority = open("r1");
  const ClusterState state = state_of(1);
  const auto revision = authority->compare_and_swap(state, 0);
  ASSERT_TRUE(revision.has_value()) << revision.status().to_string();
  const auto stored = open("r2")->load();
  ASSERT_TRUE(stored.has_value()) << stored.status().to_string();
  EXPECT_EQ(stored->revision, revision.value());
  EXPECT_EQ(*stored->state, state);
}

TEST_P(AuthorityTest, swaps_only_what_is_expected) {
  const auto one = open("r1");
  const auto other = open("r2");
  const uint64_t first = one->compare_and_swap(state_of(1), 0).value();
  EXPECT_EQ(other->compare_and_swap(state_of(1), 0).status().code(), Code::conflict);
  const uint64_t second = other->compare_and_swap(state_of(2), first).value();
  EXPECT_GT(second, first);
  EXPECT_EQ(one->compare_and_swap(state_of(2), first).status().code(), Code::conflict);
  EXPECT_EQ(one->load()->state->config.epoch, Epoch{2});
}

TEST_P(AuthorityTest, refuses_a_config_that_is_none) {
  const auto authority = open("r1");
  ClusterState bad = state_of(1);
  bad.config.cluster.clear();
  EXPECT_EQ(authority->compare_and_swap(bad, 0).status().code(), Code::invalid_argument);
}

TEST_P(AuthorityTest, tells_of_what_another_router_changed) {
  const auto writer = open("r1");
  const auto reader = open_started("r2");
  const uint64_t first = writer->compare_and_swap(state_of(1), 0).value();
  EXPECT_TRUE(eventually([&] { return reader->latest()->revision == first; }));
  const uint64_t second = writer->compare_and_swap(state_of(2), first).value();
  EXPECT_TRUE(eventually([&] { return reader->latest()->revision == second; }));
  EXPECT_EQ(reader->latest()->state->config.epoch, Epoch{2});
}

TEST_P(AuthorityTest, finds_a_change_though_the_watch_is_lost) {
  const auto writer = open("r1");
  const auto reader = open_started("r2");
  fault::arm("authority.watch_lost", {.skip = 0, .times = 1, .delay_ms = 0});
  uint64_t revision = 0;
  uint64_t epoch = 0;
  // The first changes may come before the watch stands.
  EXPECT_TRUE(eventually([&] {
    revision = writer->compare_and_swap(state_of(++epoch), revision).value();
    return fault::hits("authority.watch_lost") > 0;
  }));
  EXPECT_TRUE(eventually([&] { return reader->latest()->revision == revision; }));
}

TEST_P(AuthorityTest, leaves_everything_as_it_was_when_a_swap_fails) {
  const auto authority = open("r1");
  const uint64_t first = authority->compare_and_swap(state_of(1), 0).value();
  fault::arm("authority.swap_fails", {});
  EXPECT_EQ(authority->compare_and_swap(state_of(2), first).status().code(), Code::unavailable);
  EXPECT_EQ(authority->load()->revision, first);
  EXPECT_TRUE(authority->compare_and_swap(state_of(2), first).has_value());
}

TEST_P(AuthorityTest, has_one_controller_and_a_successor_when_it_leaves) {
  auto one = open_started("r1");
  ASSERT_TRUE(eventually([&] { return one->holds_lock(); }));
  const auto other = open_started("r2");
  EXPECT_FALSE(other->holds_lock());
  one.reset();
  EXPECT_TRUE(eventually([&] { return other->holds_lock(); }));
}

TEST(Authority, refuses_addresses_that_are_none) {
  for (const char* address : {"", "etcd:", "etcd:127.0.0.1:2379", "etcd:http://127.0.0.1",
                              "file:", "etcd:http://a:1/path", "zookeeper:x"}) {
    EXPECT_EQ(open_authority({address, "test", "r1"}).status().code(), Code::invalid_argument)
        << address;
  }
}

TEST(StateText, refuses_bytes_that_are_no_config) {
  EXPECT_EQ(decode_state("nonsense").status().code(), Code::corrupt);
  EXPECT_EQ(decode_state("").status().code(), Code::corrupt);
}

TEST(StateText, never_gives_an_id_again) {
  ClusterState state = state_of(1);
  state.config.members[0].id = {9};
  state.next_server_id = 10;
  std::string bytes = encode_state(state);
  EXPECT_EQ(decode_state(bytes)->next_server_id, 10u);
}

TEST(FileAuthority, refuses_a_damaged_file_and_says_so) {
  TemporaryFolder folder;
  const AuthorityOptions options{"file:" + folder.path() + "/a", "test", "r1"};
  const auto authority = std::move(open_authority(options)).value();
  ASSERT_TRUE(authority->compare_and_swap(state_of(1), 0).has_value());
  {
    std::fstream file(folder.path() + "/a/config", std::ios::in | std::ios::out);
    file.seekp(40);
    file.put('\x7f');
  }
  EXPECT_EQ(authority->load().status().code(), Code::corrupt);
  EXPECT_FALSE(authority->reachable());
  EXPECT_FALSE(authority->compare_and_swap(state_of(2), 1).has_value());
}

TEST(FileAuthority, is_unreachable_when_its_folder_is_gone) {
  TemporaryFolder folder;
  const AuthorityOptions options{"file:" + folder.path() + "/a", "test", "r1"};
  const auto authority = std::move(open_authority(options)).value();
  std::filesystem::remove_all(folder.path() + "/a");
  EXPECT_EQ(authority->load().status().code(), Code::unavailable);
  EXPECT_FALSE(authority->reachable());
}

}  // namespace
}  // namespace tarn::member
