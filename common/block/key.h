#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/base/units.h"

namespace tarn::block {

// The name of a block within its chain: 1 to 32 opaque bytes from the engine or from a
// PrefixHasher. The bytes past `size` are zero. A default-made one (size 0) names nothing. Value
// type.
struct BlockHash {
  uint8_t size = 0;
  std::array<uint8_t, kHashBytesMax> bytes{};

  // Returns: the hash, invalid_argument for 0 or more than 32 bytes.
  static Result<BlockHash> from(std::string_view bytes);

  std::string_view view() const { return {reinterpret_cast<const char*>(bytes.data()), size}; }
  bool is_empty() const { return size == 0; }

  friend bool operator==(const BlockHash&, const BlockHash&) = default;
  // As byte strings: a prefix sorts before what it begins.
  friend std::strong_ordering operator<=>(const BlockHash& a, const BlockHash& b) {
    if (const auto order = a.bytes <=> b.bytes; std::is_neq(order)) return order;
    return a.size <=> b.size;
  }
};

// The identity under which a block's bytes are stored. Value type.
struct BlockKey {
  TenantId tenant;
  SpaceId space;
  Shard shard;
  BlockHash hash;

  friend auto operator<=>(const BlockKey&, const BlockKey&) = default;
  friend bool operator==(const BlockKey&, const BlockKey&) = default;
};

// XXH3-64 of the hash's bytes.
uint64_t hash_value(const BlockHash& hash);
// XXH3-64 of the key's canonical bytes: tenant, space, shard (u32 little endian), hash size (u8),
// hash bytes.
uint64_t hash_value(const BlockKey& key);

using tarn::to_hex;
// Lower-case hexadecimal of the hash.
std::string to_hex(const BlockHash& hash);

// The first 16 bytes of SHA-256 of the tenant's name as it stands in the credential.
TenantId tenant_id(std::string_view tenant_name);

}  // namespace tarn::block

template <>
struct std::hash<tarn::block::BlockHash> {
  size_t operator()(const tarn::block::BlockHash& h) const { return tarn::block::hash_value(h); }
};

template <>
struct std::hash<tarn::block::BlockKey> {
  size_t operator()(const tarn::block::BlockKey& key) const { return tarn::block::hash_value(key); }
};
