#include "common/block/header.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "common/base/check.h"
#include "common/base/little_endian.h"
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
  if (load_le<uint32_t>(bytes.data()) != kBlockHeaderMagic)
    return corrupt("block header: no magic");
  const auto version = load_le<uint16_t>(bytes.data() + kVersionAt);
  if (version != kBlockHeaderVersion)
    return unsupported("block header: version " + std::to_string(version));
  if (load_le<uint16_t>(bytes.data() + kSizeAt) != kBlockHeaderBytes)
    return corrupt("block header: states another size");
  if (load_le<uint32_t>(bytes.data() + kCrcAt) != crc32c(0, bytes.data(), kCrcAt))
    return corrupt("block header: checksum");
  return Status::ok();
}

}  // namespace

EncodedBlockHeader encode(const BlockHeader& header) {
  TARN_CHECK(is_hash_size(header.key.hash.size));
  TARN_CHECK(is_hash_size(header.anchor.size));
  EncodedBlockHeader out{};
  std::byte* at = out.data();
  store_le(at, kBlockHeaderMagic);
  store_le(at + kVersionAt, kBlockHeaderVersion);
  store_le(at + kSizeAt, static_cast<uint16_t>(kBlockHeaderBytes));
  std::memcpy(at + kTenantAt, header.key.tenant.bytes.data(), header.key.tenant.bytes.size());
  std::memcpy(at + kSpaceAt, header.key.space.bytes.data(), header.key.space.bytes.size());
  store_le(at + kShardAt, header.key.shard.value);
  store_le(at + kIndexAt, header.index);
  store_le(at + kPayloadBytesAt, header.payload_bytes);
  store_le(at + kGenerationAt, header.generation.value);
  store_le(at + kPayloadCrcAt, header.payload_crc);
  store_le(at + kFlagsAt, header.flags);
  store_le(at + kHashSizeAt, header.key.hash.size);
  store_le(at + kAnchorSizeAt, header.anchor.size);
  std::memcpy(at + kHashAt, header.key.hash.bytes.data(), header.key.hash.size);
  std::memcpy(at + kAnchorAt, header.anchor.bytes.data(), header.anchor.size);
  store_le(at + kCrcAt, crc32c(0, at, kCrcAt));
  return out;
}

Result<BlockHeader> decode(std::span<const std::byte> bytes) {
  TARN_RETURN_IF_ERROR(check_frame(bytes));
  const std::byte* at = bytes.data();
  BlockHeader header;
  std::memcpy(header.key.tenant.bytes.data(), at + kTenantAt, header.key.tenant.bytes.size());
  std::memcpy(header.key.space.bytes.data(), at + kSpaceAt, header.key.space.bytes.size());
  header.key.shard = Shard{load_le<uint32_t>(at + kShardAt)};
  header.index = load_le<uint32_t>(at + kIndexAt);
  header.payload_bytes = load_le<uint64_t>(at + kPayloadBytesAt);
  header.generation = Generation{load_le<uint64_t>(at + kGenerationAt)};
  header.payload_crc = load_le<uint32_t>(at + kPayloadCrcAt);
  header.flags = load_le<uint32_t>(at + kFlagsAt);
  const auto hash_size = load_le<uint8_t>(at + kHashSizeAt);
  const auto anchor_size = load_le<uint8_t>(at + kAnchorSizeAt);
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
