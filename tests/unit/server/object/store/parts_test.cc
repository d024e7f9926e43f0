#include <gtest/gtest.h>

#include "server/object/store/pack_table.h"
#include "server/object/store/store_health.h"

namespace tarn::object {
namespace {

TEST(StoreHealth, ThreeFailuresInARowPauseAndThePauseDoubles) {
  ManualClock clock;
  StoreHealth health("reads", clock);
  health.on_outcome(unavailable("x"));
  health.on_outcome(deadline_exceeded("x"));
  EXPECT_TRUE(health.is_up());
  health.on_outcome(unavailable("x"));
  EXPECT_FALSE(health.is_up());
  clock.advance(StoreHealth::kPauseMin);
  EXPECT_TRUE(health.is_up());
  health.on_outcome(unavailable("x"));
  clock.advance(StoreHealth::kPauseMin);
  EXPECT_FALSE(health.is_up());
  clock.advance(StoreHealth::kPauseMin);
  EXPECT_TRUE(health.is_up());
  health.on_outcome(Status::ok());
  health.on_outcome(unavailable("x"));
  EXPECT_TRUE(health.is_up());
}

TEST(StoreHealth, WhatAPersonHasToMendPausesAtOnceAndAMissDoesNot) {
  ManualClock clock;
  StoreHealth health("reads", clock);
  for (int i = 0; i < 10; ++i)
    health.on_outcome(not_found("x"));
  EXPECT_TRUE(health.is_up());
  health.on_outcome(permission_denied("x"));
  EXPECT_FALSE(health.is_up());
}

Pack pack_of(uint64_t number, uint64_t bytes) {
  Pack pack;
  pack.number = number;
  pack.bytes = bytes;
  return pack;
}

TEST(PackTable, PlacesAreUsedAgainAndNumbersAreNot) {
  PackTable packs(2);
  EXPECT_EQ(packs.add(pack_of(5, 10)), 0u);
  EXPECT_EQ(packs.add(pack_of(4, 20)), 1u);
  EXPECT_EQ(packs.add(pack_of(6, 1)), std::nullopt);
  EXPECT_TRUE(packs.is_full());
  EXPECT_EQ(packs.bytes(), 30u);
  EXPECT_EQ(packs.by_age(), (std::vector<uint32_t>{1, 0}));
  EXPECT_TRUE(packs.mark_leaving(1));
  EXPECT_FALSE(packs.mark_leaving(1));
  EXPECT_EQ(packs.by_age(), std::vector<uint32_t>{0});
  packs.remove(1);
  EXPECT_EQ(packs.at(1).number, 0u);
  EXPECT_EQ(packs.add(pack_of(7, 1)), 1u);
  packs.know(100);
  EXPECT_EQ(packs.next_number(50), 101u);
  EXPECT_EQ(packs.next_number(500), 500u);
  EXPECT_EQ(packs.next_number(500), 501u);
}

TEST(PackTable, NotesAreTakenOnceAndGivenBack) {
  PackTable packs(2);
  const uint32_t place = packs.add(pack_of(5, 10)).value();
  EXPECT_FALSE(packs.take_notes());
  packs.note_removal(place, 3);
  packs.note_removal(place, 9);
  const auto notes = packs.take_notes();
  ASSERT_TRUE(notes);
  EXPECT_EQ(notes->pages, (std::vector<uint32_t>{3, 9}));
  EXPECT_FALSE(packs.take_notes());
  packs.give_back_notes(*notes);
  EXPECT_TRUE(packs.take_notes());
}

}  // namespace
}  // namespace tarn::object
