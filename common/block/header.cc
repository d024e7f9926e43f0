#include "common/block/header.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "common/base/check.h"
#include "common/block/checksum.h"

namespace tarn::block {
namespace {

constexpr size_t kVersionAt = 4;
constexpr size_t kSizeAt = 6;
constexpr size_t kTenantAt = 8;
constexpr size_t kSpaceAt = 24;
constexpr size_t kShardAt = 40;
constexpr size_t kIndexAt = 44;
constexpr size_t kPayloadBytesAt = 48;
constexpr size_t kGenerationAt = 56;
constexpr size_t kPayloadCrcAt = 64;
constexpr size_t kFlagsAt = 68;
constexpr size_t kHashSizeAt = 72;
constexpr size_t kAnchorSizeAt = 73;
constexpr size_t kHashAt = 76;
constexpr size_t kAnchorAt = 108;
constexpr size_t kCrcAt = 156;
static_assert(kAnchorAt + kHashBytesMax <= kCrcAt && kCrcAt + 4 == kBlockHeaderBytes);

template <typename Int>
void put(std::byte* to, Int value) {
  for (size_t i = 0; i < sizeof(Int); ++i)
    to[i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
}

template <typename Int>
Int take(const std::byte* from) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(Int); ++i)
    value |= std::to_integer<uint64_t>(from[i]) << (8 * i);
  return static_cast<Int>(value);
}

BlockHash take_hash(const std::byte* from, uint8_t size) {
  BlockHash hash;
  hash.size = size;
  std::memcpy(hash.bytes.data(), from, size);
  return hash;
}

bool is_hash_size(uint8_t size) {
  return size >= 1 && size <= kHashBytesMax;
}

// Magic, version, size and CRC: what must hold before any other byte is believed.
Status check_frame(std::span<const std::byte> bytes) {
  if (bytes.size() < kBlockHeaderBytes) return corrupt("block header: cut short");
  if (take<uint32_t>(bytes.data()) != kBlockHeaderMagic) return corrupt("block header: no magic");
  const auto version = take<uint16_t>(bytes.data() + kVersionAt);
  if (version != kBlockHeaderVersion)
    return unsupported("block header: version " + std::to_string(version));
  if (take<uint16_t>(bytes.data() + kSizeAt) != kBlockHeaderBytes)
    return corrupt("block header: states another size");
  if (take<uint32_t>(bytes.data() + kCrcAt) != crc32c(0, bytes.data(), kCrcAt))
    return corrupt("block header: checksum");
  return Status::ok();
}

}  // namespace

EncodedBlockHeader encode(const BlockHeader& header) {
  TARN_CHECK(is_hash_size(header.key.hash.size));
  TARN_CHECK(is_hash_size(header.anchor.size));
  EncodedBlockHeader out{};
  std::byte* at = out.data();
  put(at, kBlockHeaderMagic);
  put(at + kVersionAt, kBlockHeaderVersion);
  put(at + kSizeAt, static_cast<uint16_t>(kBlockHeaderBytes));
  std::memcpy(at + kTenantAt, header.key.tenant.bytes.data(), header.key.tenant.bytes.size());
  std::memcpy(at + kSpaceAt, header.key.space.bytes.data(), header.key.space.bytes.size());
  put(at + kShardAt, header.key.shard.value);
  put(at + kIndexAt, header.index);
  put(at + kPayloadBytesAt, header.payload_bytes);
  put(at + kGenerationAt, header.generation.value);
  put(at + kPayloadCrcAt, header.payload_crc);
  put(at + kFlagsAt, header.flags);
  put(at + kHashSizeAt, header.key.hash.size);
  put(at + kAnchorSizeAt, header.anchor.size);
  std::memcpy(at + kHashAt, header.key.hash.bytes.data(), header.key.hash.size);
  std::memcpy(at + kAnchorAt, header.anchor.bytes.data(), header.anchor.size);
  put(at + kCrcAt, crc32c(0, at, kCrcAt));
  return out;
}

Result<BlockHeader> decode(std::span<const std::byte> bytes) {
  TARN_RETURN_IF_ERROR(check_frame(bytes));
  const std::byte* at = bytes.data();
  BlockHeader header;
  std::memcpy(header.key.tenant.bytes.data(), at + kTenantAt, header.key.tenant.bytes.size());
  std::memcpy(header.key.space.bytes.data(), at + kSpaceAt, header.key.space.bytes.size());
  header.key.shard = Shard{take<uint32_t>(at + kShardAt)};
  header.index = take<uint32_t>(at + kIndexAt);
  header.payload_bytes = take<uint64_t>(at + kPayloadBytesAt);
  header.generation = Generation{take<uint64_t>(at + kGenerationAt)};
  header.payload_crc = take<uint32_t>(at + kPayloadCrcAt);
  header.flags = take<uint32_t>(at + kFlagsAt);
  const auto hash_size = take<uint8_t>(at + kHashSizeAt);
  const auto anchor_size = take<uint8_t>(at + kAnchorSizeAt);
  if (!is_hash_size(hash_size) || !is_hash_size(anchor_size))
    return corrupt("block header: size of a hash");
  if (header.payload_bytes == 0 || header.payload_bytes > kBlockBytesMax)
    return corrupt("block header: payload bytes");
  if (header.index >= kExtentBlocksMax) return corrupt("block header: index");
  header.key.hash = take_hash(at + kHashAt, hash_size);
  header.anchor = take_hash(at + kAnchorAt, anchor_size);
  return header;
}

}  // namespace tarn::block
