#include "common/block/checksum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "common/block/crc_combine.h"

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

TEST(Crc32c, of_runs_joins_to_that_of_the_whole) {
  const auto bytes = pattern(70'000);
  const uint32_t whole = crc32c(0, bytes.data(), bytes.size());
  for (const size_t cut : {0ul, 1ul, 7ul, 4095ul, 65'536ul, 69'999ul, 70'000ul}) {
    const size_t rest = bytes.size() - cut;
    const uint32_t head = crc32c(0, bytes.data(), cut);
    EXPECT_EQ(CrcJoin(rest)(head, crc32c(0, bytes.data() + cut, rest)), whole) << "cut " << cut;
  }
  uint32_t joined = 0;
  const CrcJoin step(7'000);
  for (size_t i = 0; i < 10; ++i)
    joined = step(joined, crc32c(0, bytes.data() + i * 7'000, 7'000));
  EXPECT_EQ(joined, whole);
}

// Two runs that change places, or bytes that move over their border, are another whole.
TEST(Crc32c, joined_tells_the_order_of_its_runs) {
  const auto bytes = pattern(8'192);
  const uint32_t first = crc32c(0, bytes.data(), 4'096);
  const uint32_t second = crc32c(0, bytes.data() + 4'096, 4'096);
  const uint32_t whole = crc32c(0, bytes.data(), bytes.size());
  EXPECT_EQ(CrcJoin(4'096)(first, second), whole);
  EXPECT_NE(CrcJoin(4'096)(second, first), whole);
  EXPECT_NE(CrcJoin(4'095)(first, second), whole);
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

// What the server of this host compares when it makes the checksum itself: runs of 64 bytes at
// (bytes - 64) * i / 15, as docs/WIRE.md says.
TEST(SampleCrc32c, is_that_of_the_runs_which_the_page_names) {
  std::vector<uint8_t> bytes(100'000);
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<uint8_t>(i * 131 >> 3);
  uint32_t expected = 0;
  for (size_t i = 0; i < 16; ++i)
    expected = crc32c(expected, bytes.data() + (bytes.size() - 64) * i / 15, 64);
  EXPECT_EQ(sample_crc32c(bytes.data(), bytes.size()), expected);
  for (const size_t small : {1, 64, 1000, 1024})
    EXPECT_EQ(sample_crc32c(bytes.data(), small), crc32c(0, bytes.data(), small)) << small;
}

TEST(SampleCrc32c, tells_the_same_bytes_from_elsewhere_and_another_size) {
  constexpr size_t kBytes = 64 * 1024;
  std::vector<uint64_t> words(2 * kBytes / sizeof(uint64_t));
  for (size_t i = 0; i < words.size(); ++i)
    words[i] = (i + 1) * 0x9e3779b97f4a7c15;
  const auto* const at = reinterpret_cast<const std::byte*>(words.data());
  const uint32_t meant = sample_crc32c(at, kBytes);
  for (size_t offset = 1; offset <= kBytes; offset = offset * 3 / 2 + 1)
    EXPECT_NE(sample_crc32c(at + offset, kBytes), meant) << offset;
  for (const size_t bytes : {kBytes - 1, kBytes + 1, kBytes / 2, 2 * kBytes})
    EXPECT_NE(sample_crc32c(at, bytes), meant) << bytes;
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
