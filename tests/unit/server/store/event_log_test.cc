#include "server/store/event_log.h"

#include <thread>

#include <gtest/gtest.h>

namespace tarn::store {
namespace {

BlockChange change(uint32_t index) {
  BlockChange made;
  made.header.index = index;
  return made;
}

TEST(EventLog, GivesWhatCameAfter) {
  EventLog log(8);
  for (uint32_t i = 1; i <= 5; ++i)
    log.append(change(i));
  const ChangeBatch batch = log.after(2, 10, Nanos(0));
  EXPECT_FALSE(batch.gap);
  EXPECT_EQ(batch.first_sequence, 3u);
  ASSERT_EQ(batch.changes.size(), 3u);
  EXPECT_EQ(batch.changes[0].header.index, 3u);
  EXPECT_EQ(log.after(0, 2, Nanos(0)).changes.size(), 2u);
}

TEST(EventLog, WhatIsLostIsAGap) {
  EventLog log(4);
  for (uint32_t i = 1; i <= 10; ++i)
    log.append(change(i));
  const ChangeBatch batch = log.after(2, 10, Nanos(0));
  EXPECT_TRUE(batch.gap);
  EXPECT_EQ(batch.first_sequence, 7u);
  ASSERT_EQ(batch.changes.size(), 4u);
  EXPECT_EQ(batch.changes[3].header.index, 10u);
  EXPECT_FALSE(log.after(6, 10, Nanos(0)).gap);
}

TEST(EventLog, ASequenceFromTheFutureIsAGap) {
  EventLog log(4);
  EXPECT_TRUE(log.after(3, 10, Nanos(0)).gap);
}

TEST(EventLog, ANewLifeMakesOldNumbersAGap) {
  EventLog log(4, 1000);
  EXPECT_EQ(log.last_sequence(), 1000u);
  EXPECT_TRUE(log.after(900, 10, Nanos(0)).gap);
  EXPECT_FALSE(log.after(1000, 10, Nanos(0)).gap);
  for (uint32_t i = 1; i <= 6; ++i)
    log.append(change(i));
  const ChangeBatch batch = log.after(1004, 10, Nanos(0));
  EXPECT_FALSE(batch.gap);
  EXPECT_EQ(batch.first_sequence, 1005u);
  ASSERT_EQ(batch.changes.size(), 2u);
  EXPECT_EQ(batch.changes[0].header.index, 5u);
}

TEST(EventLog, GathersForAWhileOrUntilThereIsEnoughOrItCloses) {
  EventLog log;
  const Instant began = system_clock().now();
  log.append(change(1));
  log.gather(0, 2, Millis(5));
  EXPECT_GE(system_clock().now() - began, Millis(5));
  log.append(change(2));
  log.gather(0, 2, Millis(60'000));
  std::thread closer([&] { log.close(); });
  log.gather(0, 100, Millis(60'000));
  closer.join();
  EXPECT_LT(system_clock().now() - began, Millis(30'000));
}

TEST(EventLog, WaitsForTheNextAndEndsWhenClosed) {
  EventLog log(4);
  std::thread writer([&log] { log.append(change(1)); });
  EXPECT_EQ(log.after(0, 10, Millis(10'000)).changes.size(), 1u);
  writer.join();
  std::thread closer([&log] { log.close(); });
  EXPECT_TRUE(log.after(1, 10, Millis(10'000)).changes.empty());
  closer.join();
  EXPECT_TRUE(log.after(1, 10, Millis(10'000)).changes.empty());
}

}  // namespace
}  // namespace tarn::store
