#include "common/block/key.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "common/base/check.h"
#include "common/base/little_endian.h"
#include "common/block/sha256.h"

namespace tarn::block {

Result<BlockHash> BlockHash::from(std::string_view bytes) {
  if (bytes.empty() || bytes.size() > kHashBytesMax) {
    return invalid_argument("block hash: has " + std::to_string(bytes.size()) +
                            " bytes, must have 1 to 32");
  }
  BlockHash hash;
  hash.size = static_cast<uint8_t>(bytes.size());
  std::memcpy(hash.bytes.data(), bytes.data(), bytes.size());
  return hash;
}

uint64_t hash_value(const BlockHash& hash) {
  TARN_DCHECK(hash.size <= kHashBytesMax);
  return XXH3_64bits(hash.bytes.data(), hash.size);
}

uint64_t hash_value(const BlockKey& key) {
  TARN_DCHECK(key.hash.size <= kHashBytesMax);
  std::array<uint8_t, 16 + 16 + 4 + 1 + kHashBytesMax> canonical;
  uint8_t* to = canonical.data();
  to = std::copy(key.tenant.bytes.begin(), key.tenant.bytes.end(), to);
  to = std::copy(key.space.bytes.begin(), key.space.bytes.end(), to);
  store_le(to, key.shard.value);
  to += sizeof(key.shard.value);
  *to++ = key.hash.size;
  to = std::copy_n(key.hash.bytes.begin(), key.hash.size, to);
  return XXH3_64bits(canonical.data(), static_cast<size_t>(to - canonical.data()));
}

std::string to_hex(const BlockHash& hash) {
  return tarn::to_hex(hash.view());
}

TenantId tenant_id(std::string_view tenant_name) {
  const Digest256 digest = sha256(tenant_name);
  TenantId id;
  std::copy_n(digest.begin(), id.bytes.size(), id.bytes.begin());
  return id;
}

}  // namespace tarn::block
