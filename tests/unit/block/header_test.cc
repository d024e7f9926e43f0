#include "common/block/header.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "common/block/checksum.h"

namespace tarn::block {
namespace {

BlockHeader sample() {
  BlockHeader header;
  header.key = {tenant_id("acme"), SpaceId{}, Shard{3}, BlockHash::from("hash-of-block").value()};
  header.key.space.bytes.fill(0x5a);
  header.anchor = BlockHash::from(std::string(32, 'a')).value();
  header.index = 31;
  header.payload_bytes = kBlockBytesMax;
  header.payload_crc = 0xdeadbeef;
  header.generation = Generation{0x0102030405060708};
  header.flags = 0x80000001;
  return header;
}

// Writes a CRC that fits, so that the checks behind it are reached.
void seal(EncodedBlockHeader& bytes) {
  const uint32_t crc = crc32c(0, bytes.data(), kBlockHeaderBytes - 4);
  std::memcpy(bytes.data() + kBlockHeaderBytes - 4, &crc, sizeof(crc));
}

Code decode_with(size_t at, uint8_t value) {
  EncodedBlockHeader bytes = encode(sample());
  bytes[at] = static_cast<std::byte>(value);
  seal(bytes);
  const auto decoded = decode(bytes);
  return decoded.has_value() ? Code::ok : decoded.error().code();
}

TEST(BlockHeader, round_trips_also_from_unaligned_bytes) {
  const EncodedBlockHeader bytes = encode(sample());
  EXPECT_EQ(decode(bytes).value(), sample());
  std::vector<std::byte> moved(kBlockHeaderBytes + 9);
  std::memcpy(moved.data() + 3, bytes.data(), bytes.size());
  EXPECT_EQ(decode(std::span(moved).subspan(3)).value(), sample());
}

TEST(BlockHeader, is_laid_out_as_documented) {
  const EncodedBlockHeader bytes = encode(sample());
  EXPECT_EQ(std::memcmp(bytes.data(), "TRNB\x01\x00\xa0\x00", 8), 0);
  EXPECT_EQ(std::memcmp(bytes.data() + 40, "\x03\0\0\0\x1f\0\0\0", 8), 0);
  EXPECT_EQ(std::memcmp(bytes.data() + 56, "\x08\x07\x06\x05\x04\x03\x02\x01", 8), 0);
  EXPECT_EQ(std::memcmp(bytes.data() + 64, "\xef\xbe\xad\xde\x01\0\0\x80\x0d\x20", 10), 0);
  EXPECT_EQ(std::memcmp(bytes.data() + 76, "hash-of-block", 13), 0);
}

TEST(BlockHeader, any_flipped_bit_is_noticed) {
  const EncodedBlockHeader good = encode(sample());
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    EncodedBlockHeader bytes = good;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    ASSERT_FALSE(decode(bytes).has_value()) << "bit " << bit;
  }
}

TEST(BlockHeader, a_short_buffer_is_corrupt) {
  const EncodedBlockHeader good = encode(sample());
  for (size_t size = 0; size < good.size(); ++size)
    ASSERT_EQ(decode(std::span(good).first(size)).error().code(), Code::corrupt);
}

TEST(BlockHeader, numbers_out_of_range_are_corrupt_even_under_a_fitting_crc) {
  EXPECT_EQ(decode_with(71, 0), Code::ok);
  EXPECT_EQ(decode_with(0, 'X'), Code::corrupt);
  EXPECT_EQ(decode_with(4, 2), Code::unsupported);
  EXPECT_EQ(decode_with(6, 0), Code::corrupt);
  EXPECT_EQ(decode_with(44, 64), Code::corrupt);
  EXPECT_EQ(decode_with(48, 1), Code::corrupt);  // 64 MiB and one byte
  EXPECT_EQ(decode_with(51, 0), Code::corrupt);  // no bytes
  EXPECT_EQ(decode_with(72, 0), Code::corrupt);
  EXPECT_EQ(decode_with(72, 33), Code::corrupt);
  EXPECT_EQ(decode_with(73, 200), Code::corrupt);
}

TEST(BlockHeader, equal_hashes_decode_equal_whatever_lies_past_their_size) {
  EncodedBlockHeader bytes = encode(sample());
  bytes[76 + 20] = std::byte{0x77};
  seal(bytes);
  EXPECT_EQ(decode(bytes).value().key, sample().key);
}

TEST(BlockHeaderDeathTest, a_header_without_hash_is_never_written) {
  BlockHeader header = sample();
  header.anchor = BlockHash{};
  EXPECT_DEATH((void)encode(header), "check failed");
}

}  // namespace
}  // namespace tarn::block
