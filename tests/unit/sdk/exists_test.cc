// Which blocks are there: every key has its own answer, however many share a request.
#include <gmock/gmock.h>

#include <algorithm>
#include <utility>

#include "common/fabric/link_op.h"
#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using ::testing::ElementsAre;

class ExistsTest : public KvTest {
 protected:
  // The one server that a block was put on.
  size_t holder_of(const std::string& hash, size_t servers) {
    for (size_t i = 0; i < servers; ++i)
      if (cluster->server(i).has(hash)) return i;
    ADD_FAILURE() << hash << " lies nowhere";
    return 0;
  }

  // A chain that has been put whole, on so many servers that have just started.
  Chain put_chain(size_t servers, size_t blocks, size_t block_bytes = 5000) {
    start(servers);
    Chain chain("a", blocks, block_bytes);
    EXPECT_THAT(put(chain), ElementsAre(Outcome::ok));
    return chain;
  }

  // Every server answers so for the block.
  void judge_everywhere(const std::string& hash, size_t servers, Code code) {
    for (size_t server = 0; server < servers; ++server)
      cluster->server(server).judge(hash, code);
  }

  void expect(const std::vector<BlockHash>& hashes, const std::vector<bool>& wanted) {
    const auto found = space->exists(hashes);
    ASSERT_TRUE(found) << found.error().message;
    ASSERT_EQ(found.value().size(), wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i)
      EXPECT_EQ(found.value()[i], wanted[i]) << i << ": " << hashes[i];
  }
};

TEST_F(ExistsTest, AnswersKeepTheOrderOfTheQuestionsAcrossExtentsAndServers) {
  start(3);
  Chain a("a", 12);
  Chain b("b", 9);
  ASSERT_THAT(put(a), ElementsAre(Outcome::ok));
  ASSERT_THAT(put(b), ElementsAre(Outcome::ok));
  // Extents have 4 blocks: whole ones, parts of them, single blocks and strangers, and one twice.
  expect({a.hashes[2], a.hashes[3], a.hashes[4], "stranger", b.hashes[8], b.hashes[0], "another",
          a.hashes[5], a.hashes[11], a.hashes[11], a.hashes[0]},
         {true, true, true, false, true, true, false, true, true, true, true});
}

TEST_F(ExistsTest, AKeyThatIsMissingInTheMiddleOfAnExtentIsMissingAlone) {
  Chain chain = put_chain(2, 12);
  std::vector<bool> wanted(12, true);
  for (const size_t gone : {0u, 5u, 6u, 11u}) {
    wanted[gone] = false;
    judge_everywhere(chain.hashes[gone], 2, Code::not_found);
  }
  expect(chain.hashes, wanted);
}

TEST_F(ExistsTest, OnlyWhatTheFirstOwnerLacksIsAskedOfTheOther) {
  Chain chain = put_chain(2, 8);
  const std::vector<size_t> lost = {1, 2, 7};
  for (const size_t i : lost) {
    const size_t holder = holder_of(chain.hashes[i], 2);
    cluster->server(holder).judge(chain.hashes[i], Code::not_found);
    if (i != 2) cluster->server(1 - holder).copy(chain.hashes[i], chain.texts[i]);
  }
  expect(chain.hashes, {true, true, false, true, true, true, true, true});
}

TEST_F(ExistsTest, ADeadServersKeysAreAskedOfTheOther) {
  Chain chain = put_chain(2, 40);
  std::vector<bool> wanted(40, true);
  for (size_t i = 0; i < 40; ++i) {
    if (cluster->server(1).has(chain.hashes[i])) continue;
    if (i % 3 == 0) {
      wanted[i] = false;
    } else {
      cluster->server(1).copy(chain.hashes[i], chain.texts[i]);
    }
  }
  ASSERT_GT(std::count(wanted.begin(), wanted.end(), false), 0);
  cluster->server(0).stop();
  cluster->declare_down(0);
  expect(chain.hashes, wanted);
}

TEST_F(ExistsTest, WhileADeadServerMayHaveItNobodySaysThatAKeyIsMissing) {
  Chain chain = put_chain(2, 40);
  ASSERT_GT(cluster->server(0).block_count(), 0u);
  cluster->server(0).stop();
  CallOptions options;
  options.timeout_ms = 400;
  const auto found = space->exists(chain.hashes, options);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().outcome, Outcome::unavailable);
  EXPECT_FALSE(found.error().message.empty());
}

TEST_F(ExistsTest, KeysThatAreAnsweredDifferentlyGoDifferentWays) {
  Chain chain = put_chain(1, 4);
  cluster->server(0).judge(chain.hashes[1], Code::not_found);
  cluster->server(0).judge(chain.hashes[2], Code::overloaded);
  CallOptions options;
  options.timeout_ms = 300;
  EXPECT_FALSE(space->exists(chain.hashes, options)) << "nobody knows of one";
  cluster->server(0).judge(chain.hashes[2], Code::permission_denied);
  const auto denied = space->exists(chain.hashes);
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().outcome, Outcome::permission_denied);
  const std::vector<BlockHash> others = {chain.hashes[3], chain.hashes[1], chain.hashes[0]};
  expect(others, {true, false, true});
}

TEST_F(ExistsTest, AnErrorKeepsItsWordsWhenKeysOfItsExtentEndOtherwise) {
  Chain chain = put_chain(2, 4);
  CallOptions options;
  options.timeout_ms = 300;
  for (const auto& [first, second] : {std::pair(Code::unavailable, Code::overloaded),
                                      std::pair(Code::overloaded, Code::unavailable)}) {
    judge_everywhere(chain.hashes[0], 2, first);
    judge_everywhere(chain.hashes[1], 2, second);
    const bool is_first = first == Code::unavailable;
    const std::vector<BlockHash> asked = {chain.hashes[is_first ? 0 : 1],
                                          chain.hashes[is_first ? 1 : 0]};
    const auto found = space->exists(asked, options);
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().outcome, Outcome::unavailable);
    EXPECT_FALSE(found.error().message.empty());
  }
}

TEST_F(ExistsTest, ARequestThatIsRefusedIsMadeAgain) {
  Chain chain = put_chain(1, 20);
  cluster->server(0).refuse(Code::overloaded, 1);
  expect(chain.hashes, std::vector<bool>(20, true));
}

TEST_F(ExistsTest, MoreKeysThanAnOperationCarries) {
  const size_t count = 2 * fabric::kOpItemsMax + 100;
  Chain chain = put_chain(2, count, 16);
  std::vector<bool> wanted(count, true);
  for (size_t i = 0; i < count; i += 97) {
    wanted[i] = false;
    judge_everywhere(chain.hashes[i], 2, Code::not_found);
  }
  expect(chain.hashes, wanted);
}

// Keys are asked for in parts, the wrong one would be in the last.
TEST_F(ExistsTest, AHashThatIsNoneIsNamedWhereverItStands) {
  Chain chain = put_chain(1, 1000, 16);
  for (const std::string& wrong : {std::string(), std::string(33, 'x')}) {
    std::vector<BlockHash> hashes = chain.hashes;
    hashes.back() = wrong;
    const auto found = space->exists(hashes);
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().outcome, Outcome::invalid_argument);
    EXPECT_THAT(found.error().message, ::testing::HasSubstr("hashes[999]"));
  }
}

TEST_F(ExistsTest, EveryShardMustBeThere) {
  start(2);
  space.emplace(open(3));
  Chain chain("a", 6);
  for (const uint32_t shard : {0u, 1u, 2u}) {
    auto writes = chain.writes(0, shard);
    if (shard == 1) writes.resize(4);
    Transfer transfer = space->put_kv(writes);
    ASSERT_THAT(outcomes(transfer), ElementsAre(Outcome::ok));
  }
  expect(chain.hashes, {true, true, true, true, false, false});
}

TEST_F(ExistsTest, InAFlatSpaceEveryKeyHasAPlaceOfItsOwn) {
  start(3);
  space.emplace(open(1, true));
  Chain chain("k", 300, 16);
  auto items = chain.writes();
  for (PutItem& item : items)
    item.parent.clear();
  std::vector<bool> wanted(300, true);
  Transfer transfer = space->put_kv(std::span(items).first(280));
  ASSERT_THAT(outcomes(transfer), ElementsAre(Outcome::ok));
  std::fill(wanted.begin() + 280, wanted.end(), false);
  expect(chain.hashes, wanted);
}

}  // namespace
}  // namespace tarn::sdk
