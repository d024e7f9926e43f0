// What becomes of each block of a batch, and what the user is told.
#include <gmock/gmock.h>

#include <map>
#include <random>
#include <set>

#include "common/base/units.h"
#include "sdk/cpp/src/batch.h"
#include "sdk/cpp/src/outcome.h"
#include "tests/unit/logged_text.h"
#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using std::chrono::milliseconds;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

CallOptions within(uint32_t ms) {
  CallOptions options;
  options.timeout_ms = ms;
  return options;
}

class OutcomesTest : public KvTest {
 protected:
  std::vector<BlockOutcome> all(Transfer transfer) {
    EXPECT_TRUE(transfer.wait());
    return {transfer.outcomes().begin(), transfer.outcomes().end()};
  }
  // One server, and a chain of 4 of which it judges the second.
  BlockOutcome judged_get(Code code, CallOptions options = {}) {
    Chain chain("get-" + std::string(code_name(code)), 4);
    EXPECT_THAT(put(chain), ElementsAre(Outcome::ok));
    cluster->server(0).judge(chain.hashes[1], code);
    const auto outcomes = all(space->get_kv(chain.reads(), options));
    for (const size_t i : {0, 2, 3})
      EXPECT_EQ(outcomes[i].outcome, Outcome::ok) << "the others are not held up";
    return outcomes[1];
  }
  BlockOutcome judged_put(Code code, CallOptions options = {}) {
    Chain chain("put-" + std::string(code_name(code)), 4);
    cluster->server(0).judge(chain.hashes[1], code);
    const auto outcomes = all(space->put_kv(chain.writes(), options));
    for (const size_t i : {0, 2, 3})
      EXPECT_EQ(outcomes[i].outcome, Outcome::ok) << "the others are not held up";
    return outcomes[1];
  }
};

TEST_F(OutcomesTest, OfAGetByWhatItsOwnerSays) {
  start(1);
  const struct {
    Code said;
    Outcome told;
  } cases[] = {
      {Code::not_found, Outcome::miss},
      {Code::corrupt, Outcome::corrupt},
      {Code::permission_denied, Outcome::permission_denied},
      {Code::unavailable, Outcome::unavailable},
      {Code::overloaded, Outcome::overloaded},
      {Code::internal, Outcome::internal},
      {Code::unsupported, Outcome::unsupported},
      {Code::stale_epoch, Outcome::unavailable},
  };
  for (const auto& each : cases) {
    const BlockOutcome outcome = judged_get(each.said, within(300));
    EXPECT_EQ(outcome.outcome, each.told) << code_name(each.said);
    EXPECT_EQ(outcome.bytes, 0u) << "no bytes are promised with " << code_name(each.said);
    EXPECT_EQ(outcome.server, "");
  }
}

TEST_F(OutcomesTest, OfAPutByWhatItsPrimarySays) {
  start(1);
  const struct {
    Code said;
    Outcome told;
    bool has_words;
  } cases[] = {
      {Code::exists, Outcome::exists, false},
      {Code::kept_less, Outcome::kept_less, false},
      {Code::permission_denied, Outcome::permission_denied, true},
      {Code::invalid_argument, Outcome::invalid_argument, true},
      {Code::unsupported, Outcome::unsupported, true},
      {Code::internal, Outcome::internal, true},
      {Code::corrupt, Outcome::corrupt, true},
  };
  for (const auto& each : cases) {
    const BlockOutcome outcome = judged_put(each.said);
    EXPECT_EQ(outcome.outcome, each.told) << code_name(each.said);
    EXPECT_EQ(outcome.message, each.has_words ? "the block is judged" : "");
    EXPECT_EQ(outcome.server, each.has_words ? "" : "s1") << code_name(each.said);
  }
}

// What may pass by is tried until the deadline, and then told for what it is.
TEST_F(OutcomesTest, APutThatIsRefusedForEverEndsByItsDeadlineWithTheReason) {
  start(1);
  for (const Code code : {Code::overloaded, Code::unavailable, Code::stale_epoch}) {
    const Instant begin = system_clock().now();
    const BlockOutcome outcome = judged_put(code, within(200));
    EXPECT_LT(system_clock().now() - begin, milliseconds(1500));
    EXPECT_EQ(outcome.outcome, outcome_of(code)) << code_name(code);
  }
}

TEST_F(OutcomesTest, AnExtentThatIsFullForEverIsGivenUp) {
  start(1);
  const BlockOutcome outcome = judged_put(Code::extent_full);
  EXPECT_EQ(outcome.outcome, Outcome::unavailable);
  EXPECT_THAT(outcome.message, HasSubstr("extents are full"));
}

TEST_F(OutcomesTest, OfABatchStandInTheOrderOfTheCall) {
  start(2);
  Chain chain("a", 30);
  auto items = chain.writes();
  std::vector<PutItem> some;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i % 5 != 3) some.push_back(items[i]);
  }
  EXPECT_THAT(all(space->put_kv(some)), Each(testing::Field(&BlockOutcome::outcome, Outcome::ok)));
  auto reads = chain.reads();
  for (size_t i = 4; i < reads.size(); i += 5)
    reads[i].slices = {Slice::of(chain.rooms[i].data(), 1)};
  reads[10].hash.clear();
  const auto outcomes = all(space->get_kv(reads));
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const bool is_wrong = i % 5 == 4 || i == 10;
    const Outcome wanted = is_wrong     ? Outcome::invalid_argument
                           : i % 5 == 3 ? Outcome::miss
                                        : Outcome::ok;
    EXPECT_EQ(outcomes[i].outcome, wanted) << i << ": " << outcomes[i].message;
    if (wanted == Outcome::ok) {
      EXPECT_EQ(chain.rooms[i], chain.texts[i]) << i;
    }
  }
}

// Random puts and gets over a small set of keys against a map of what was put first.
TEST_F(OutcomesTest, OfRandomCallsAreThoseOfAMap) {
  start(3);
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto draw = [&](size_t below) {
    return std::uniform_int_distribution<size_t>(0, below - 1)(random);
  };
  space.emplace(open(1, true));
  std::map<std::string, std::string> model;
  for (int round = 0; round < 60; ++round) {
    const size_t count = 1 + draw(12);
    std::set<std::string> names;
    while (names.size() < count)
      names.insert("k" + std::to_string(draw(40)));
    std::vector<std::string> bytes;
    bytes.reserve(count);
    if (draw(2) == 0) {
      std::vector<PutItem> items;
      for (const std::string& name : names) {
        bytes.push_back(std::string(1 + draw(3000), static_cast<char>('a' + draw(26))));
        PutItem item;
        item.hash = name;
        item.slices = {Slice::of(bytes.back().data(), bytes.back().size())};
        items.push_back(std::move(item));
      }
      const auto outcomes = all(space->put_kv(items));
      for (size_t i = 0; i < count; ++i) {
        const bool is_new = model.emplace(items[i].hash, bytes[i]).second;
        ASSERT_EQ(outcomes[i].outcome, is_new ? Outcome::ok : Outcome::exists);
      }
      continue;
    }
    std::vector<GetItem> items;
    for (const std::string& name : names) {
      const auto known = model.find(name);
      bytes.push_back(std::string(known == model.end() ? 9 : known->second.size(), '\0'));
      items.push_back({name, {Slice::of(bytes.back().data(), bytes.back().size())}, 0});
    }
    const auto outcomes = all(space->get_kv(items));
    for (size_t i = 0; i < count; ++i) {
      const auto known = model.find(items[i].hash);
      ASSERT_EQ(outcomes[i].outcome, known == model.end() ? Outcome::miss : Outcome::ok);
      if (known != model.end()) {
        ASSERT_EQ(bytes[i], known->second);
      }
    }
  }
}

TEST_F(OutcomesTest, AHashHasOneToThirtyTwoBytes) {
  start(1);
  std::string room(10, 'r');
  for (const size_t size : {0, 1, 31, 32, 33}) {
    const std::string hash(size, 'h');
    PutItem item;
    item.hash = hash;
    item.slices = {Slice::of(room.data(), room.size())};
    const bool fits = size >= 1 && size <= kHashBytesMax;
    const auto put = all(space->put_kv({&item, 1}));
    EXPECT_EQ(put[0].outcome, fits ? Outcome::ok : Outcome::invalid_argument) << size;
    const GetItem read{hash, item.slices, 0};
    const auto got = all(space->get_kv({&read, 1}));
    EXPECT_EQ(got[0].outcome, put[0].outcome) << size;
    if (!fits) {
      EXPECT_THAT(got[0].message, HasSubstr("items[0].hash"));
    }
    const std::vector<BlockHash> hashes{hash};
    EXPECT_EQ(space->exists(hashes).has_value(), fits) << size;
    EXPECT_EQ(space->match(hashes).has_value(), fits) << size;
  }
}

TEST_F(OutcomesTest, ACallHasAsManyBlocksAsItMay) {
  start(1);
  std::string byte = "b";
  const GetItem one{"nowhere", {Slice::of(byte.data(), 1)}, 0};
  std::vector<GetItem> items(kCallBlocksMax + 1, one);
  Transfer refused = space->get_kv(items);
  EXPECT_THAT(outcomes(refused), ElementsAre(Outcome::invalid_argument));
  EXPECT_EQ(refused.outcomes().size(), kCallBlocksMax + 1);
  EXPECT_EQ(refused.outcomes()[0].message, "items: more than 65536") << "no item is to blame";
}

TEST_F(OutcomesTest, MatchAndExistsTakeAsManyHashesAsTheyMay) {
  start(1);
  std::vector<BlockHash> hashes(kMatchHashesMax, "h");
  EXPECT_TRUE(space->match(hashes));
  space.emplace(open(1, true));
  EXPECT_EQ(space->exists(hashes)->size(), kMatchHashesMax);
  hashes.push_back("one more");
  EXPECT_THAT(space->match(hashes).error().message, HasSubstr("8192"));
  EXPECT_THAT(space->exists(hashes).error().message, HasSubstr("8192"));
}

TEST_F(OutcomesTest, CopiesAreOneToSixteen) {
  start(1);
  for (const uint32_t copies : {0u, 1u, 16u, 17u, UINT32_MAX}) {
    Chain chain("c" + std::to_string(copies), 1);
    CallOptions options;
    options.copies = copies;
    const auto outcomes = all(space->put_kv(chain.writes(), options));
    const bool fits = copies >= 1 && copies <= 16;
    EXPECT_EQ(outcomes[0].outcome, fits ? Outcome::ok : Outcome::invalid_argument) << copies;
    if (fits) {
      EXPECT_EQ(outcomes[0].copies, copies);
    }
    if (!fits) {
      EXPECT_EQ(outcomes[0].message, "options.copies: must be 1 to 16");
    }
  }
}

TEST_F(OutcomesTest, AShardIsOneOfTheSpace) {
  start(1);
  space.emplace(open(4));
  Chain chain("s", 1);
  for (const uint32_t shard : {0u, 3u, 4u, UINT32_MAX}) {
    const auto put = all(space->put_kv(chain.writes(0, shard)));
    const auto got = all(space->get_kv(chain.reads(shard)));
    EXPECT_EQ(put[0].outcome, shard < 4 ? Outcome::ok : Outcome::invalid_argument);
    EXPECT_EQ(got[0].outcome, put[0].outcome);
    if (shard >= 4) {
      EXPECT_THAT(got[0].message, HasSubstr("the space has 4"));
    }
  }
}

TEST_F(OutcomesTest, ASpaceThatIsNoneIsNamed) {
  start(1);
  const auto refusal = [&](auto change) {
    SpaceSpec spec = space->spec();
    change(spec);
    const auto opened = client->open_space(spec);
    return opened ? std::string() : opened.error().message;
  };
  EXPECT_EQ(refusal([](SpaceSpec&) {}), "");
  EXPECT_THAT(refusal([](SpaceSpec& s) { s.block_tokens = 0; }), HasSubstr("block_tokens"));
  EXPECT_THAT(refusal([](SpaceSpec& s) { s.tensor_parallel = 0; }), HasSubstr("tensor_parallel"));
  EXPECT_EQ(refusal([](SpaceSpec& s) { s.extent_blocks = 1; }), "");
  EXPECT_EQ(refusal([](SpaceSpec& s) { s.extent_blocks = 64; }), "");
  EXPECT_THAT(refusal([](SpaceSpec& s) { s.extent_blocks = 65; }), HasSubstr("extent_blocks"));
  EXPECT_THAT(refusal([](SpaceSpec& s) { s.extent_blocks = 0; }), HasSubstr("extent_blocks"));
}

TEST_F(OutcomesTest, SpacesOfEqualSpecsAreOneAndOthersNever) {
  start(1);
  EXPECT_EQ(open().id(), space->id());
  EXPECT_EQ(space->id().size(), 32u);
  std::set<std::string> ids{space->id()};
  const auto add = [&](auto change) {
    SpaceSpec spec = space->spec();
    change(spec);
    ids.insert(client->open_space(spec).value().id());
  };
  add([](SpaceSpec& s) { s.model = "n"; });
  add([](SpaceSpec& s) { s.revision = "r"; });
  add([](SpaceSpec& s) { s.dtype = "bf16"; });
  add([](SpaceSpec& s) { s.layout = "x"; });
  add([](SpaceSpec& s) { s.block_tokens = 32; });
  add([](SpaceSpec& s) { s.tensor_parallel = 2; });
  add([](SpaceSpec& s) { s.hash_scheme = "mine"; });
  add([](SpaceSpec& s) { s.hash_seed = "1"; });
  add([](SpaceSpec& s) { s.flat = true; });
  add([](SpaceSpec& s) { s.extent_blocks = 8; });
  EXPECT_EQ(ids.size(), 11u) << "every field is part of a space's identity";
}

TEST_F(OutcomesTest, AnotherOwnerIsAskedAfterACorruptBlock) {
  start(2);
  Chain chain("a", 8);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  for (size_t i = 0; i < chain.hashes.size(); ++i) {
    const size_t holder = cluster->server(0).has(chain.hashes[i]) ? 0 : 1;
    cluster->server(holder).corrupt(chain.hashes[i]);
    cluster->server(1 - holder).copy(chain.hashes[i], chain.texts[i]);
  }
  const auto outcomes = all(space->get_kv(chain.reads()));
  for (const BlockOutcome& outcome : outcomes)
    EXPECT_EQ(outcome.outcome, Outcome::ok) << outcome.message;
  EXPECT_TRUE(chain.is_whole());
}

TEST_F(OutcomesTest, TheLogNamesTheServerOfCorruptBlocksAndNoOther) {
  const LoggedText log;
  start(2);
  Chain chain("a", 4);  // one extent
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  ASSERT_THAT(get(chain), ElementsAre(Outcome::ok));
  EXPECT_FALSE(log.has("corrupt")) << log.text();
  const size_t holder = cluster->server(0).has(chain.hashes[0]) ? 0 : 1;
  for (const size_t i : {1, 3}) {
    cluster->server(holder).corrupt(chain.hashes[i]);
    cluster->server(1 - holder).copy(chain.hashes[i], chain.texts[i]);
  }
  ASSERT_THAT(get(chain), ElementsAre(Outcome::ok)) << "the caller has its blocks";
  const std::string ill = "corrupt blocks from s" + std::to_string(holder + 1);
  EXPECT_TRUE(becomes([&] { return log.has(ill + ": 2 of 4 that it was asked for"); }))
      << log.text();
  EXPECT_EQ(log.count("corrupt blocks"), 1u) << "one line for a batch\n" << log.text();
  // Nothing logs any more.
  space.reset();
  client.reset();
  cluster.reset();
}

TEST_F(OutcomesTest, ExistsTellsAnErrorFromAnAbsence) {
  start(1);
  Chain chain("a", 3);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  cluster->server(0).judge("a-1", Code::permission_denied);
  const auto exists = space->exists(chain.hashes);
  ASSERT_FALSE(exists);
  EXPECT_EQ(exists.error().outcome, Outcome::permission_denied);
}

}  // namespace
}  // namespace tarn::sdk
