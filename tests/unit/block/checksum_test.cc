#include "common/block/checksum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace tarn::block {
namespace {

std::vector<uint8_t> pattern(size_t bytes) {
  std::vector<uint8_t> out(bytes);
  uint32_t state = 12345;
  for (uint8_t& byte : out) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<uint8_t>(state >> 24);
  }
  return out;
}

// RFC 3720 B.4, and the check value of the catalogue of CRCs.
TEST(Crc32c, gives_the_published_values) {
  EXPECT_EQ(crc32c(0, "123456789", 9), 0xe3069283u);
  EXPECT_EQ(crc32c(0, std::string(32, '\0').data(), 32), 0x8a9136aau);
  EXPECT_EQ(crc32c(0, std::string(32, '\xff').data(), 32), 0x62a8ab43u);
  EXPECT_EQ(crc32c(0, nullptr, 0), 0u);
}

TEST(Crc32c, goes_on_from_what_came_before) {
  const auto bytes = pattern(10'000);
  const uint32_t whole = crc32c(0, bytes.data(), bytes.size());
  for (const size_t cut : {0ul, 1ul, 63ul, 4096ul, 9'999ul, 10'000ul}) {
    const uint32_t head = crc32c(0, bytes.data(), cut);
    EXPECT_EQ(crc32c(head, bytes.data() + cut, bytes.size() - cut), whole) << "cut " << cut;
  }
}

TEST(Crc32c, notices_every_single_flipped_bit) {
  auto bytes = pattern(257);
  const uint32_t whole = crc32c(0, bytes.data(), bytes.size());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    ASSERT_NE(crc32c(0, bytes.data(), bytes.size()), whole) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
}

TEST(Crc32cCopy, copies_all_and_nothing_more) {
  for (const size_t size : {0ul, 1ul, 4095ul, 4096ul, 4097ul, 70'001ul}) {
    const auto from = pattern(size);
    std::vector<uint8_t> to(size + 1, 0xee);
    EXPECT_EQ(crc32c_copy(to.data(), from.data(), size), crc32c(0, from.data(), size));
    EXPECT_TRUE(std::equal(from.begin(), from.end(), to.begin()));
    EXPECT_EQ(to[size], 0xee);
  }
}

}  // namespace
}  // namespace tarn::block
