#include "server/store/eviction_queue.h"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tarn::store {
namespace {

class EvictionQueueTest : public testing::Test {
 protected:
  Extent& add(uint32_t number, uint64_t bytes = 100) {
    auto extent = std::make_unique<Extent>();
    extent->key.space.bytes[0] = static_cast<uint8_t>(number);
    extent->key.space.bytes[1] = static_cast<uint8_t>(number >> 8);
    extent->key.anchor = *block::BlockHash::from("anchor");
    x_queue.add(*extent);
    x_queue.grow(*extent, bytes);
    x_extents.push_back(std::move(extent));
    return *x_extents.back();
  }

  void evict(Extent& extent) {
    x_queue.shrink(extent, extent.bytes);
    x_queue.remove(extent, true);
  }

  EvictionQueue x_queue;
  std::vector<std::unique_ptr<Extent>> x_extents;
};

TEST_F(EvictionQueueTest, EmptyHasNoVictim) {
  EXPECT_EQ(x_queue.victim(), nullptr);
  EXPECT_EQ(x_queue.bytes(), 0u);
}

TEST_F(EvictionQueueTest, TheOldestWithoutAHitGoesFirst) {
  Extent& first = add(1);
  Extent& second = add(2);
  EXPECT_EQ(x_queue.victim(), &first);
  EXPECT_EQ(x_queue.victim(), &first) << "it stays the victim until it is removed";
  evict(first);
  EXPECT_EQ(x_queue.victim(), &second);
}

TEST_F(EvictionQueueTest, AHitMovesToTheMainQueue) {
  Extent& first = add(1);
  Extent& second = add(2);
  EvictionQueue::hit(first);
  EXPECT_EQ(x_queue.victim(), &second);
  EXPECT_EQ(first.queue, QueueKind::main);
  EXPECT_EQ(first.hits, 0);
}

TEST_F(EvictionQueueTest, TheMainQueueGivesASecondChance) {
  Extent& a = add(1);
  Extent& b = add(2);
  EvictionQueue::hit(a);
  EvictionQueue::hit(b);
  EXPECT_EQ(x_queue.victim(), &a) << "both are in the main queue now, the older one first";
  EvictionQueue::hit(a);
  EXPECT_EQ(x_queue.victim(), &b);
}

TEST_F(EvictionQueueTest, WhatComesBackSoonIsKept) {
  Extent& first = add(1);
  evict(first);
  Extent& again = add(1);
  EXPECT_EQ(again.queue, QueueKind::main);
  Extent& other = add(2);
  EXPECT_EQ(other.queue, QueueKind::small);
  EXPECT_EQ(x_queue.victim(), &other);
}

TEST_F(EvictionQueueTest, AnExplicitRemovalIsNotRemembered) {
  Extent& first = add(1);
  x_queue.shrink(first, first.bytes);
  x_queue.remove(first, false);
  EXPECT_EQ(add(1).queue, QueueKind::small);
}

TEST_F(EvictionQueueTest, GhostsAreBounded) {
  for (uint32_t i = 1; i <= 2000; ++i)
    evict(add(i));
  EXPECT_EQ(add(1).queue, QueueKind::small) << "forgotten long ago";
  EXPECT_EQ(add(2000).queue, QueueKind::main);
}

TEST_F(EvictionQueueTest, ASmallQueueBelowItsShareLetsTheMainQueueGo) {
  std::vector<Extent*> main;
  for (uint32_t i = 1; i <= 20; ++i) {
    main.push_back(&add(i));
    EvictionQueue::hit(*main.back());
  }
  // All are promoted while a victim is looked for.
  EXPECT_EQ(x_queue.victim(), main.front());
  add(100, 50);
  EXPECT_EQ(x_queue.victim(), main.front()) << "the small queue has less than a tenth of the bytes";
  add(101, 500);
  EXPECT_EQ(x_queue.victim(), x_extents[20].get());
}

TEST_F(EvictionQueueTest, ThePassedOverWaitsForAnotherTurn) {
  Extent& first = add(1);
  Extent& second = add(2);
  Extent& third = add(3);
  x_queue.pass_over(first);
  EXPECT_EQ(x_queue.victim(), &second);
  x_queue.pass_over(second);
  x_queue.end_round();
  for (Extent* next : {&third, &first, &second}) {
    EXPECT_EQ(x_queue.victim(), next);
    evict(*next);
  }
}

TEST_F(EvictionQueueTest, ARoundEndsWhenAllWerePassedOver) {
  Extent& first = add(1);
  Extent& second = add(2);
  x_queue.pass_over(first);
  x_queue.pass_over(second);
  EXPECT_EQ(x_queue.victim(), nullptr);
  EXPECT_EQ(x_queue.size(), 2u);
  EXPECT_EQ(x_queue.bytes(), 200u);
  x_queue.end_round();
  x_queue.bring_back(second);
  EXPECT_EQ(x_queue.victim(), &second) << "it has kept its turn";
}

TEST_F(EvictionQueueTest, ASmallQueueThatIsPassedOverDoesNotHideTheMainOne) {
  Extent& kept = add(1);
  EvictionQueue::hit(kept);
  ASSERT_EQ(x_queue.victim(), &kept);
  ASSERT_EQ(kept.queue, QueueKind::main);
  Extent& stuck = add(2, 1000);
  ASSERT_EQ(x_queue.victim(), &stuck);
  x_queue.pass_over(stuck);
  EXPECT_EQ(x_queue.victim(), &kept);
}

TEST_F(EvictionQueueTest, WhatWasPassedOverMayGo) {
  Extent& first = add(1);
  Extent& second = add(2);
  x_queue.pass_over(first);
  evict(first);
  x_queue.end_round();
  EXPECT_EQ(x_queue.size(), 1u);
  EXPECT_EQ(x_queue.victim(), &second);
}

TEST_F(EvictionQueueTest, BytesAddUp) {
  Extent& first = add(1, 100);
  add(2, 200);
  EXPECT_EQ(x_queue.bytes(), 300u);
  EvictionQueue::hit(first);
  (void)x_queue.victim();
  EXPECT_EQ(x_queue.bytes(), 300u);
  x_queue.grow(first, 50);
  EXPECT_EQ(x_queue.bytes(), 350u);
  evict(first);
  EXPECT_EQ(x_queue.bytes(), 200u);
  EXPECT_EQ(x_queue.size(), 1u);
}

}  // namespace
}  // namespace tarn::store
