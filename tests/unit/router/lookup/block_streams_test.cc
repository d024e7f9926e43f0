#include "router/rpc/block_streams.h"

#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "tests/unit/router/lookup/fake_storage.h"

namespace tarn::router {
namespace {

using index::block_of;

class Streams : public testing::Test {
 protected:
  void SetUp() override { tls.insecure_loopback = true; }
  void TearDown() override { fault::disarm_all(); }

  void start(std::vector<index::StreamMark> marks = {}) {
    streams = std::make_unique<BlockStreams>(
        BlockStreamsOptions{&index, &config, &registry, tls, std::move(marks)});
  }
  // Both servers, or only some of them, are up from now on.
  void publish(std::set<uint32_t> up) {
    ring::ClusterConfig next;
    next.epoch = {++epoch};
    next.cluster = "test";
    for (uint32_t id = 1; id <= 2; ++id) {
      ring::Member member;
      member.id = {id};
      member.name = "s" + std::to_string(id);
      member.control_endpoint = (id == 1 ? one : two).endpoint();
      member.incarnation = {id};
      member.state = up.contains(id) ? ring::MemberState::up : ring::MemberState::down;
      next.members.push_back(member);
    }
    ASSERT_TRUE(config.publish(std::move(next)).is_ok());
  }
  uint32_t matched(const std::string& chain = "c") {
    return index::Probe(chain, 40).match(index).matched;
  }
  bool matches(uint32_t count, const std::string& chain = "c") {
    return eventually([&] { return matched(chain) == count; });
  }
  bool synced() {
    return eventually([&] { return streams->is_synced(); });
  }

  FakeStorage one;
  FakeStorage two;
  rpc::TlsMaterial tls;
  uint64_t epoch = 0;
  metrics::Registry registry;
  index::Index index{42};
  cluster::ConfigView config;
  std::unique_ptr<BlockStreams> streams;
};

TEST_F(Streams, take_what_is_there_and_what_comes) {
  for (uint32_t i = 0; i < 10; ++i)
    one.put(block_of("c", i));
  start();
  EXPECT_FALSE(streams->is_synced());
  publish({1, 2});
  ASSERT_TRUE(synced());
  EXPECT_EQ(matched(), 10u);
  EXPECT_EQ(streams->synced_servers(), (std::set<uint32_t>{1, 2}));
  two.put(block_of("c", 10));
  EXPECT_TRUE(matches(11));
  one.remove(block_of("c", 5));
  EXPECT_TRUE(matches(5));
  EXPECT_TRUE(eventually([&] {
    const auto marks = streams->marks();
    return marks.size() == 2 && marks[1].server == ServerId{2} && marks[1].sequence == 1;
  }));
}

TEST_F(Streams, a_gap_brings_an_inventory) {
  for (uint32_t i = 0; i < 10; ++i)
    one.put(block_of("c", i));
  start();
  publish({1, 2});
  ASSERT_TRUE(synced());
  one.lose(block_of("c", 4));
  EXPECT_EQ(matched(), 10u);
  one.make_gap();
  EXPECT_TRUE(matches(4));
  EXPECT_TRUE(synced());
}

TEST_F(Streams, a_lost_batch_counts_as_a_gap) {
  start();
  publish({1});
  ASSERT_TRUE(synced());
  fault::arm("index.apply_batch", {});
  one.put(block_of("c", 0));
  EXPECT_TRUE(matches(1));
  EXPECT_GE(fault::hits("index.apply_batch"), 1u);
  EXPECT_TRUE(synced());
}

TEST_F(Streams, a_removal_during_the_inventory_stays) {
  one.put(block_of("c", 0));
  one.put(block_of("c", 1));
  std::atomic<bool> done = false;
  one.before_answer = [&] {
    if (done.exchange(true)) return;
    // The first range was read; its blocks are told after the events.
    one.remove(block_of("c", 1));
    one.put(block_of("d", 0));
  };
  start();
  publish({1});
  ASSERT_TRUE(synced());
  EXPECT_TRUE(matches(1));
  EXPECT_TRUE(matches(1, "d"));
}

TEST_F(Streams, a_new_incarnation_has_none_of_the_old_blocks) {
  one.put(block_of("c", 0));
  start();
  publish({1});
  ASSERT_TRUE(synced());
  one.restart(77);
  EXPECT_TRUE(matches(0));
  one.put(block_of("d", 0));
  EXPECT_TRUE(matches(1, "d"));
  EXPECT_TRUE(eventually([&] {
    const auto marks = streams->marks();
    return marks.size() == 1 && marks[0].incarnation.value == 77;
  }));
}

TEST_F(Streams, a_server_that_counts_anew_is_taken_stock_of) {
  one.put(block_of("c", 0));
  one.put(block_of("c", 1));
  start();
  publish({1});
  ASSERT_TRUE(synced());
  one.restart(1);
  EXPECT_TRUE(matches(0));
}

TEST_F(Streams, a_broken_connection_is_resumed_without_an_inventory) {
  one.put(block_of("c", 0));
  start();
  publish({1});
  ASSERT_TRUE(synced());
  const int before = one.inventories();
  one.drop_connections();
  one.put(block_of("c", 1));
  EXPECT_TRUE(matches(2));
  EXPECT_TRUE(synced());
  EXPECT_EQ(one.inventories(), before);
  EXPECT_EQ(one.resumed_after(), 1u);
}

TEST_F(Streams, a_server_that_is_down_holds_nothing_at_once) {
  one.put(block_of("c", 0));
  two.put(block_of("c", 1));
  start();
  publish({1, 2});
  ASSERT_TRUE(synced());
  EXPECT_EQ(matched(), 2u);
  publish({1});
  EXPECT_EQ(matched(), 1u);
  EXPECT_TRUE(synced());
  publish({1, 2});
  EXPECT_TRUE(matches(2));
}

TEST_F(Streams, while_a_server_is_out_of_reach_the_index_is_not_synced) {
  one.put(block_of("c", 0));
  start();
  publish({1, 2});
  ASSERT_TRUE(synced());
  two.stop();
  EXPECT_TRUE(eventually([&] { return !streams->is_synced(); }));
  EXPECT_EQ(streams->synced_servers(), std::set<uint32_t>{1});
  EXPECT_EQ(matched(), 1u);
}

TEST_F(Streams, take_up_where_a_snapshot_ended) {
  one.put(block_of("c", 0));
  one.put(block_of("c", 1));
  // As if a snapshot had held the first block.
  add(index, index.attach({1}), block_of("c", 0));
  start({{{1}, {1}, 1, 0}});
  publish({1});
  ASSERT_TRUE(synced());
  EXPECT_TRUE(matches(2));
  EXPECT_EQ(one.inventories(), 0);
  EXPECT_EQ(one.resumed_after(), 1u);
}

TEST_F(Streams, a_mark_of_a_server_that_has_left_is_dropped_with_its_rows) {
  add(index, index.attach({9}), block_of("c", 0));
  start({{{9}, {1}, 1, 0}});
  publish({1});
  ASSERT_TRUE(synced());
  EXPECT_TRUE(matches(0));
}

// Blocks that a server lost without an event, and somebody who misses them.
class DoubtedStreams : public Streams {
 protected:
  void SetUp() override {
    Streams::SetUp();
    for (uint32_t i = 0; i < 40; ++i)
      one.put(block_of("c", i));
    start();
    publish({1, 2});
    ASSERT_TRUE(synced());
    ASSERT_EQ(matched(), 40u);
  }
  // A client did not get these from the server, and says so. Returns how many extents are doubted.
  size_t report(const std::vector<block::BlockHash>& hashes, uint32_t server = 1) {
    const std::vector<ServerId> servers(hashes.size(), ServerId{server});
    const auto doubts = index.doubts({index::kAcme, index::kSpace, hashes, {}}, servers);
    streams->doubt(doubts);
    return doubts.size();
  }
  uint64_t count(const char* name) { return registry.counter(name, "Any.").value(); }
};

TEST_F(DoubtedStreams, a_miss_that_is_true_mends_the_row) {
  one.lose(block_of("c", 5));
  ASSERT_EQ(matched(), 40u) << "nothing has told the index yet";
  EXPECT_EQ(report({block_of("c", 5).hash}), 1u);
  EXPECT_TRUE(matches(5));
  EXPECT_EQ(one.questions(), 1);
  EXPECT_TRUE(streams->is_synced()) << "one extent's doubt makes no answer partial";
  // The server puts it again.
  one.put(block_of("c", 5));
  EXPECT_TRUE(matches(40));
}

TEST_F(DoubtedStreams, a_miss_that_is_a_lie_costs_one_question) {
  const int inventories = one.inventories();
  EXPECT_EQ(report(index::hashes_of("c", 32)), 1u);
  EXPECT_TRUE(eventually([&] { return one.questions() == 1; }));
  EXPECT_TRUE(eventually([&] { return count("tarn_index_doubts_total") == 1; }));
  EXPECT_EQ(matched(), 40u);
  EXPECT_EQ(one.inventories(), inventories);
  EXPECT_EQ(two.questions(), 0);
}

TEST_F(DoubtedStreams, a_flood_of_lies_is_asked_about_slowly_and_dropped) {
  constexpr uint32_t kExtents = 600;
  for (uint32_t i = 0; i < kExtents; ++i)
    one.put(block_of("flat", i, 1));
  ASSERT_TRUE(eventually([&] { return index.stats().extents >= kExtents; }));
  std::atomic<bool> may_answer = false;
  one.before_answer = [&] { (void)eventually([&] { return may_answer.load(); }); };
  const auto hashes = index::hashes_of("flat", kExtents);
  EXPECT_EQ(report(hashes), kExtents);
  EXPECT_EQ(report(hashes), kExtents);
  // All but one tenant's share of the queue, and the one that is being asked.
  EXPECT_GE(count("tarn_index_dropped_doubts_total"),
            2 * (kExtents - BlockStream::kTenantDoubtsMax - 1));
  one.lose(block_of("flat", 0, 1));
  may_answer = true;
  EXPECT_TRUE(eventually(
      [&] { return one.questions() >= static_cast<int>(BlockStream::kTenantDoubtsMax); }));
  EXPECT_LE(one.questions(), 2 + static_cast<int>(BlockStream::kTenantDoubtsMax));
  // A new event still gets through while that goes on.
  one.put(block_of("new", 0));
  EXPECT_TRUE(matches(1, "new"));
}

TEST_F(DoubtedStreams, a_server_that_does_not_answer_loses_no_row_by_it) {
  one.refuses_inventories = true;
  EXPECT_EQ(report({block_of("c", 5).hash}), 1u);
  EXPECT_TRUE(eventually([&] { return one.questions() == 1; }));
  one.refuses_inventories = false;
  one.lose(block_of("c", 35));
  EXPECT_EQ(report({block_of("c", 35).hash}), 1u);
  EXPECT_TRUE(matches(35));
}

TEST_F(DoubtedStreams, an_event_during_the_question_is_newer_than_the_answer) {
  std::atomic<bool> done = false;
  one.before_answer = [&] {
    if (!done.exchange(true)) one.remove(block_of("c", 9));  // the answer still has it
  };
  EXPECT_EQ(report({block_of("c", 3).hash}), 1u);
  EXPECT_TRUE(matches(9));
  EXPECT_TRUE(eventually([&] { return count("tarn_index_doubts_total") == 1; }));
  EXPECT_EQ(matched(), 9u);
}

TEST_F(DoubtedStreams, a_doubt_about_a_server_that_has_left_is_dropped) {
  const std::vector<ServerId> servers{{1}};
  const auto hashes = index::hashes_of("c", 1);
  const auto doubts = index.doubts({index::kAcme, index::kSpace, hashes, {}}, servers);
  publish({2});
  streams->doubt(doubts);
  publish({1, 2});
  EXPECT_TRUE(matches(40));
  EXPECT_EQ(one.questions(), 0);
}

}  // namespace
}  // namespace tarn::router
