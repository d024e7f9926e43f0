// Whose turn it is: fairness in bytes, order of ranks, and what the window keeps for newcomers.
#include "server/lane/turns.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/units.h"

namespace tarn::lane {
namespace {

using Rank = Turns::Rank;

constexpr Instant kBegin{int64_t{3600} * 1'000'000'000};
constexpr uint64_t kQuantum = 256 * kKiB;
constexpr uint64_t kWindow = Turns::kWindowBytes;

TenantId tenant(uint8_t number) {
  TenantId id;
  id.bytes[0] = number;
  return id;
}

struct Member : TurnTaker {
  explicit Member(uint64_t bytes) : block(bytes) {}
  uint64_t block;
  uint64_t sent = 0;
  bool may = true;
};

class LaneRing : public testing::Test {
 protected:
  ~LaneRing() override {
    for (auto& each : x_members) {
      if (x_ring.holds(*each)) x_ring.remove(*each);
    }
  }
  Member& add(uint64_t block) {
    x_members.push_back(std::make_unique<Member>(block));
    x_ring.add(*x_members.back());
    return *x_members.back();
  }
  Member* step() {
    Member* const member = x_ring.pick([](const Member& each) { return each.may; });
    if (member == nullptr) return nullptr;
    member->sent += member->block;
    x_ring.charge(*member, member->block);
    return member;
  }

  TurnRing<Member> x_ring;
  std::vector<std::unique_ptr<Member>> x_members;
};

// Of any two that always ask neither is ahead by more than a quantum and a block.
TEST_F(LaneRing, BytesAreEqualAtAnyTimeWhateverTheBlocks) {
  for (const uint64_t block : {64 * kKiB, 100 * kKiB, 256 * kKiB, 2 * kMiB, 64 * kMiB})
    add(block);
  for (int i = 0; i < 50'000; ++i) {
    ASSERT_NE(step(), nullptr);
    for (const auto& a : x_members) {
      for (const auto& b : x_members)
        ASSERT_LE(a->sent, b->sent + kQuantum + a->block) << "at step " << i;
    }
  }
  EXPECT_GT(x_members[0]->sent, 500 * kMiB);
}

TEST_F(LaneRing, WhoLeavesWithDebtsComesBackWithThem) {
  Member& large = add(64 * kMiB);
  Member& other = add(kMiB);
  while (large.sent == 0)
    step();
  x_ring.remove(large);
  x_ring.add(large);
  while (large.sent == 64 * kMiB)
    ASSERT_NE(step(), nullptr);
  EXPECT_GE(other.sent, 63 * kMiB);
}

TEST_F(LaneRing, NobodySavesUp) {
  Member& sleeper = add(64 * kKiB);
  Member& other = add(64 * kKiB);
  sleeper.may = false;
  while (other.sent < 100 * kMiB)
    ASSERT_EQ(step(), &other);
  sleeper.may = true;
  const uint64_t before = other.sent;
  while (sleeper.sent < 10 * kMiB)
    ASSERT_NE(step(), nullptr);
  EXPECT_NEAR(static_cast<double>(other.sent - before), 10.0 * kMiB, 2 * kQuantum);
}

TEST_F(LaneRing, ANewcomerIsNext) {
  for (int i = 0; i < 100; ++i)
    add(2 * kMiB);
  for (int i = 0; i < 33; ++i)
    step();
  Member& newcomer = add(64 * kKiB);
  EXPECT_EQ(step(), &newcomer);
}

TEST_F(LaneRing, NobodyIsPickedWhoMayNot) {
  EXPECT_EQ(step(), nullptr);
  Member& a = add(64 * kMiB);
  Member& b = add(kKiB);
  b.may = false;
  EXPECT_EQ(step(), &a);
  EXPECT_EQ(step(), &a) << "debts keep nobody waiting when no one else may go";
  a.may = false;
  EXPECT_EQ(step(), nullptr);
}

// Connections that always ask, and a fabric that ends sends in their order.
class LaneTurns : public testing::Test {
 protected:
  struct Source {
    Source(Turns& turns, Rank rank, uint8_t of, uint64_t bytes) : block(bytes) {
      turns.join(flow, rank, tenant(of));
      turns.ask(flow);
    }
    Turns::Flow flow;
    uint64_t block;
    uint64_t sent = 0;
    bool is_stopped = false;
  };

  void SetUp() override { x_turns.tick(kBegin); }

  Source& add(uint8_t of, uint64_t block = kMiB, Rank rank = Rank::get) {
    x_sources.push_back(std::make_unique<Source>(x_turns, rank, of, block));
    return *x_sources.back();
  }
  Source* source_of(const Turns::Flow* flow) {
    for (const auto& each : x_sources) {
      if (&each->flow == flow) return each.get();
    }
    return nullptr;
  }
  void fill() {
    while (Turns::Flow* const flow = x_turns.next()) {
      Source& source = *source_of(flow);
      x_turns.begin(*flow, source.block);
      source.sent += source.block;
      if (!source.is_stopped) x_fabric.push_back(&source);
    }
  }
  // True when a send has ended.
  bool drain_one() {
    if (x_fabric.empty()) return false;
    Source& source = *x_fabric.front();
    x_fabric.pop_front();
    x_turns.end(source.flow, source.block);
    return true;
  }
  void run(uint64_t blocks) {
    for (; blocks > 0; --blocks) {
      fill();
      ASSERT_TRUE(drain_one());
    }
  }
  uint64_t sent_of(uint8_t first, uint8_t last) {
    uint64_t sum = 0;
    for (size_t i = first; i <= last; ++i)
      sum += x_sources[i]->sent;
    return sum;
  }

  Turns x_turns;
  std::vector<std::unique_ptr<Source>> x_sources;
  std::deque<Source*> x_fabric;
};

TEST_F(LaneTurns, ALoneReaderHasHalfOfTheWindow) {
  Source& lone = add(1, 64 * kKiB);
  fill();
  EXPECT_NEAR(static_cast<double>(lone.sent), kWindow / 2.0, 2.0 * 64 * kKiB);
  EXPECT_EQ(lone.sent, lone.flow.bytes());
}

TEST_F(LaneTurns, TenantsAreEqualWhateverTheirConnectionsAndBlocks) {
  for (int i = 0; i < 8; ++i)
    add(1, 64 * kKiB);
  add(2, 2 * kMiB);
  add(3, 300 * kKiB);
  run(50'000);
  const auto all = static_cast<double>(sent_of(0, 9));
  EXPECT_NEAR(static_cast<double>(sent_of(0, 7)) / all, 1 / 3.0, 0.05);
  EXPECT_NEAR(static_cast<double>(sent_of(8, 8)) / all, 1 / 3.0, 0.05);
  for (int i = 1; i < 8; ++i)
    EXPECT_NEAR(static_cast<double>(x_sources[i]->sent), static_cast<double>(x_sources[0]->sent),
                0.01 * all);
}

TEST_F(LaneTurns, TheLowerRankHasASixteenthWhileTheHigherAsks) {
  Source& get = add(1, 128 * kKiB);
  Source& copy = add(9, kMiB, Rank::background);
  for (int i = 0; i < 2; ++i)
    add(1, 128 * kKiB);
  for (int i = 0; i < 3; ++i)
    add(static_cast<uint8_t>(2 + i), 128 * kKiB);
  run(200);
  const uint64_t begun = copy.sent;
  const uint64_t before = sent_of(0, 6);
  // A window that never has room for all: whatever ends is given to whoever comes first.
  while (sent_of(0, 6) < before + kGiB) {
    Turns::Flow* const flow = x_turns.next();
    if (flow == nullptr) {
      ASSERT_TRUE(drain_one());
      continue;
    }
    Source& source = *source_of(flow);
    x_turns.begin(*flow, source.block);
    source.sent += source.block;
    x_fabric.push_back(&source);
  }
  const double part = static_cast<double>(copy.sent - begun) / kGiB;
  EXPECT_GE(part, 1 / 17.0);
  EXPECT_LE(part, 1 / 5.0) << "but what others cannot use";
  EXPECT_GT(get.sent, 10 * kMiB);
}

TEST_F(LaneTurns, TheHigherRankGoesFirstAndTheLowerHasWhatIsLeft) {
  Source& copy = add(9, kMiB, Rank::background);
  Source& get = add(1);
  EXPECT_EQ(x_turns.next(), &get.flow);
  x_turns.rest(get.flow);
  EXPECT_EQ(x_turns.next(), &copy.flow);
  fill();
  EXPECT_GT(copy.sent, 16 * kMiB) << "alone it goes at full speed";
  x_turns.ask(get.flow);
  EXPECT_EQ(x_turns.next(), &get.flow);
}

TEST_F(LaneTurns, WhatAStoppedReaderHoldsIsGivenToOthers) {
  for (int i = 0; i < 20; ++i)
    add(static_cast<uint8_t>(1 + i % 5), 2 * kMiB).is_stopped = true;
  fill();
  Source& honest = add(77, 2 * kMiB);
  EXPECT_EQ(x_turns.next(), &honest.flow) << "one block at once";
  EXPECT_EQ(x_turns.tick(kBegin + Turns::kStalledAfter), 0u);
  size_t stalled = x_turns.tick(kBegin + Turns::kStalledAfter + Nanos(1));
  EXPECT_GE(stalled, 5u);
  x_turns.rest(honest.flow);
  // Those that had nothing yet come, stop and go the same way.
  for (int i = 0; i < 20; ++i) {
    fill();
    stalled += x_turns.tick(x_turns.now() + Turns::kStalledAfter + Nanos(1));
  }
  EXPECT_EQ(stalled, 20u);
  EXPECT_EQ(x_turns.bytes(), 0u);
  x_turns.ask(honest.flow);
  fill();
  EXPECT_NEAR(static_cast<double>(honest.sent), kWindow / 2.0, 2.0 * kMiB) << "as if alone";
}

TEST_F(LaneTurns, WhoReadsAgainCountsAgain) {
  Source& reader = add(1, kMiB);
  fill();
  const uint64_t held = reader.flow.bytes();
  x_turns.tick(kBegin + std::chrono::seconds(1));
  EXPECT_TRUE(reader.flow.is_stalled());
  EXPECT_EQ(x_turns.bytes(), 0u);
  EXPECT_EQ(x_turns.next(), nullptr) << "it has enough on its way";
  ASSERT_TRUE(drain_one());
  EXPECT_EQ(x_turns.bytes(), held - kMiB);
  EXPECT_EQ(x_turns.next(), &reader.flow);
}

TEST_F(LaneTurns, ATenantWithNothingOnItsWayNeverWaits) {
  for (uint8_t i = 1; i <= 3; ++i)
    add(i, 64 * kMiB);
  fill();
  EXPECT_GT(x_turns.bytes(), kWindow);
  Source& small = add(9, 64 * kKiB);
  fill();
  EXPECT_EQ(small.sent, 64 * kKiB);
}

TEST_F(LaneTurns, WhoLeavesLeavesNothingBehind) {
  for (int i = 0; i < 6; ++i)
    add(static_cast<uint8_t>(i / 2), 2 * kMiB, i < 4 ? Rank::get : Rank::background);
  fill();
  x_turns.tick(kBegin + std::chrono::seconds(1));
  Source& last = add(9, kMiB);
  fill();
  EXPECT_EQ(x_turns.tenants(), 4u);
  x_fabric.clear();
  x_sources.erase(x_sources.begin(), x_sources.begin() + 6);
  EXPECT_EQ(x_turns.tenants(), 1u);
  EXPECT_EQ(x_turns.bytes(), last.flow.bytes());
  x_sources.clear();
  EXPECT_EQ(x_turns.tenants(), 0u);
  EXPECT_EQ(x_turns.bytes(), 0u);
  EXPECT_EQ(x_turns.next(), nullptr);
}

// Against the rule, computed from scratch for everybody.
class TurnsModel : public testing::TestWithParam<uint32_t> {
 protected:
  struct Source {
    Turns::Flow flow;
    Rank rank = Rank::get;
    uint8_t of = 0;
    bool asks = false;
    Instant moved;
    std::vector<uint64_t> blocks;
    uint64_t bytes() const {
      uint64_t sum = 0;
      for (const uint64_t each : blocks)
        sum += each;
      return sum;
    }
    bool is_stalled(Instant now) const {
      return !blocks.empty() && now - moved > Turns::kStalledAfter;
    }
  };

  uint64_t pick(uint64_t below) { return x_random() % below; }

  bool may(const Source& one) const {
    uint64_t all = 0;
    uint64_t of_rank = 0;
    uint64_t of_tenant = 0;
    int askers = 0;
    bool do_betters_ask = false;
    for (const auto& each : x_sources) {
      const bool is_mate = each->of == one.of && each->rank == one.rank;
      if (each->is_stalled(x_now)) continue;
      askers += is_mate && each->asks;
      do_betters_ask = do_betters_ask || (each->asks && each->rank < one.rank);
      all += each->bytes();
      if (each->rank == one.rank) of_rank += each->bytes();
      if (is_mate) of_tenant += each->bytes();
    }
    if (!one.asks || one.is_stalled(x_now)) return false;
    if (do_betters_ask && of_rank >= Turns::kBehindBytes) return false;
    const uint64_t left = askers > 1 ? one.bytes() / 3 : 0;
    return of_tenant == 0 || (all < kWindow && of_tenant + left <= kWindow - all);
  }
  bool may_any(Rank rank) const {
    return std::any_of(x_sources.begin(), x_sources.end(),
                       [&](const auto& each) { return each->rank == rank && may(*each); });
  }

  void step() {
    const uint64_t what = pick(10);
    if (x_sources.size() < 3 || (what == 0 && x_sources.size() < 30)) {
      auto made = std::make_unique<Source>();
      made->rank = pick(3) == 0 ? Rank::background : Rank::get;
      made->of = static_cast<uint8_t>(pick(5));
      x_turns.join(made->flow, made->rank, tenant(made->of));
      x_sources.push_back(std::move(made));
      return;
    }
    const size_t at = pick(x_sources.size());
    Source& source = *x_sources[at];
    if (what == 1) {
      x_sources.erase(x_sources.begin() + static_cast<long>(at));
    } else if (what < 5) {
      source.asks = pick(4) > 0;
      if (source.asks) x_turns.ask(source.flow);
      if (!source.asks) x_turns.rest(source.flow);
    } else if (what < 8) {
      if (source.blocks.empty()) return;
      x_turns.end(source.flow, source.blocks.back());
      source.blocks.pop_back();
      source.moved = x_now;
    } else {
      x_now = x_now + std::chrono::milliseconds(pick(9));
      x_turns.tick(x_now);
    }
  }

  void send_some() {
    for (uint64_t i = pick(6); i > 0; --i) {
      Turns::Flow* const flow = x_turns.next();
      ASSERT_EQ(flow != nullptr, may_any(Rank::get) || may_any(Rank::background));
      if (flow == nullptr) return;
      const auto found = std::find_if(x_sources.begin(), x_sources.end(),
                                      [&](const auto& each) { return &each->flow == flow; });
      ASSERT_NE(found, x_sources.end());
      Source& source = **found;
      ASSERT_TRUE(may(source));
      x_before_betters += source.rank == Rank::background && may_any(Rank::get);
      ++x_begun;
      if (source.blocks.empty()) source.moved = x_now;
      source.blocks.push_back(1 + pick(pick(8) == 0 ? 16 * kMiB : kMiB));
      x_turns.begin(source.flow, source.blocks.back());
    }
  }

  std::mt19937_64 x_random{GetParam()};
  Turns x_turns;
  Instant x_now = kBegin;
  std::vector<std::unique_ptr<Source>> x_sources;
  int x_begun = 0;
  int x_before_betters = 0;
};

TEST_P(TurnsModel, SomebodyGoesExactlyWhenSomebodyMay) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  x_turns.tick(x_now);
  for (int i = 0; i < 5'000 && !HasFatalFailure(); ++i) {
    step();
    send_some();
  }
  EXPECT_GT(x_begun, 1'000);
  EXPECT_LT(x_before_betters, x_begun / 4);
  x_sources.clear();
  EXPECT_EQ(x_turns.bytes(), 0u);
  EXPECT_EQ(x_turns.tenants(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, TurnsModel, testing::Range(0u, 8u));

}  // namespace
}  // namespace tarn::lane
