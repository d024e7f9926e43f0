#include "server/flash/admission/admission.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "common/base/units.h"
#include "server/flash/admission/sight_sketch.h"

namespace tarn::flash {
namespace {

block::BlockKey key_of(uint64_t number, uint8_t tenant = 1) {
  block::BlockKey key;
  key.tenant.bytes.fill(tenant);
  key.hash = block::BlockHash::from("block " + std::to_string(number)).value();
  return key;
}

// A drive whose rating gives a bucket of 1 GiB an hour.
class AdmissionTest : public testing::Test {
 protected:
  AdmissionOptions options(AdmissionMode mode) {
    AdmissionOptions made;
    made.mode = mode;
    made.capacity_bytes = 24 * kGiB;
    made.clock = &x_clock;
    return made;
  }

  static Status evict(Admission& admission, uint64_t number, uint64_t bytes, uint8_t tenant = 1,
                      bool was_read = false) {
    return admission.admit({key_of(number, tenant), bytes, false, was_read});
  }

  ManualClock x_clock;
};

TEST_F(AdmissionTest, everything_goes_while_the_bucket_is_more_than_half_full) {
  Admission admission(options(AdmissionMode::enforce));
  for (uint64_t i = 0; i < 512; ++i)
    EXPECT_TRUE(evict(admission, i, kMiB).is_ok()) << i;
  EXPECT_EQ(admission.budget_bytes(), 512 * kMiB);
  const Status refused = evict(admission, 1000, kMiB);
  EXPECT_EQ(refused.code(), Code::overloaded);
  EXPECT_NE(refused.message().find("first_sight"), std::string::npos) << refused.message();
  EXPECT_EQ(admission.refused(Admission::Cause::first_sight), 1u);
}

TEST_F(AdmissionTest, below_that_what_was_seen_or_read_or_is_asked_for_goes) {
  Admission admission(options(AdmissionMode::enforce));
  ASSERT_TRUE(admission.admit({key_of(0), 600 * kMiB, true, false}).is_ok());
  EXPECT_FALSE(evict(admission, 1, kMiB).is_ok());
  EXPECT_TRUE(evict(admission, 1, kMiB).is_ok());
  EXPECT_TRUE(evict(admission, 2, kMiB, 1, true).is_ok());
  EXPECT_TRUE(admission.admit({key_of(3), kMiB, true, false}).is_ok());
}

TEST_F(AdmissionTest, an_empty_bucket_refuses_all_and_says_for_how_long) {
  Admission admission(options(AdmissionMode::enforce));
  ASSERT_TRUE(admission.admit({key_of(0), kGiB, true, false}).is_ok());
  const Status refused = admission.admit({key_of(1), 4 * kMiB, true, false});
  EXPECT_EQ(refused.code(), Code::overloaded);
  // 24 GiB a day are 0.284 MiB a second.
  EXPECT_NE(refused.message().find("in 15 s"), std::string::npos) << refused.message();
  x_clock.advance(std::chrono::seconds(15));
  EXPECT_TRUE(admission.admit({key_of(1), 4 * kMiB, true, false}).is_ok());
  EXPECT_EQ(admission.refused(Admission::Cause::budget), 1u);
}

TEST_F(AdmissionTest, over_a_day_no_more_is_written_than_the_rating_allows) {
  Admission admission(options(AdmissionMode::enforce));
  uint64_t written = 0;
  for (uint64_t i = 0; i < 24 * 60; ++i) {
    for (uint64_t j = 0; j < 100; ++j)
      written += admission.admit({key_of(i * 100 + j), kMiB, true, false}).is_ok() ? kMiB : 0;
    x_clock.advance(std::chrono::minutes(1));
  }
  EXPECT_LE(written, 25 * kGiB);  // with the hour that the bucket held at first
  EXPECT_GE(written, 24 * kGiB);
  EXPECT_NEAR(admission.life_days(), 5 * 365, 40);
}

TEST_F(AdmissionTest, a_greedy_tenant_leaves_the_others_their_share) {
  Admission admission(options(AdmissionMode::enforce));
  ASSERT_TRUE(admission.admit({key_of(0, 2), kMiB, true, false}).is_ok());
  uint64_t greedy = 0;
  for (uint64_t i = 1; i < 2000; ++i)
    greedy += admission.admit({key_of(i, 1), kMiB, true, false}).is_ok() ? kMiB : 0;
  EXPECT_LE(greedy, 513 * kMiB);
  EXPECT_GT(admission.refused(Admission::Cause::tenant_share), 0u);
  uint64_t modest = 0;
  for (uint64_t i = 1; i < 400; ++i)
    modest += admission.admit({key_of(i, 2), kMiB, true, false}).is_ok() ? kMiB : 0;
  EXPECT_EQ(modest, 399 * kMiB);
}

TEST_F(AdmissionTest, shadow_counts_and_refuses_nothing) {
  Admission admission(options(AdmissionMode::shadow));
  for (uint64_t i = 0; i < 2048; ++i)
    EXPECT_TRUE(evict(admission, i, kMiB).is_ok());
  EXPECT_GT(admission.refused(Admission::Cause::first_sight), 0u);
  EXPECT_GT(admission.refused(Admission::Cause::budget), 0u);
  EXPECT_LT(admission.life_days(), 5 * 365);
  Admission off(options(AdmissionMode::off));
  for (uint64_t i = 0; i < 2048; ++i)
    EXPECT_TRUE(evict(off, i, kMiB).is_ok());
  EXPECT_EQ(off.refused(Admission::Cause::budget), 0u);
}

TEST(SightSketch, remembers_the_latest_keys_and_forgets_old_ones) {
  SightSketch sketch(10'000);
  std::mt19937_64 random(1);
  std::vector<uint64_t> prints(50'000);
  for (uint64_t& print : prints)
    print = random();
  uint64_t mistaken = 0;
  for (size_t i = 0; i < prints.size(); ++i) {
    mistaken += sketch.see(prints[i]) ? 1 : 0;
    const size_t recent = i - std::min<size_t>(i, 5'000);
    EXPECT_TRUE(sketch.see(prints[recent])) << i;
  }
  EXPECT_LT(mistaken, prints.size() / 50);
  EXPECT_LT(sketch.memory_bytes(), 10'000u * 2 * 10 / 8 + 100);
  uint64_t old = 0;
  for (size_t i = 0; i < 10'000; ++i)
    old += sketch.see(prints[i]) ? 1 : 0;
  EXPECT_LT(old, 500u);
}

}  // namespace
}  // namespace tarn::flash
