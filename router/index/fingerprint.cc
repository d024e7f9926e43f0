#include "router/index/fingerprint.h"

#include <xxhash.h>

#include <array>
#include <cstring>
#include <random>

#include "common/base/check.h"
#include "common/base/units.h"

namespace tarn::index {

uint64_t draw_seed() {
  std::random_device device;
  const uint64_t high = device();
  return high << 32 | device();
}

Fingerprint fingerprint_of(uint64_t seed, const TenantId& tenant, const SpaceId& space,
                           const block::BlockHash& hash) {
  TARN_DCHECK(!hash.is_empty());
  // All fields but the last have a fixed size, so no two inputs share their bytes.
  std::array<uint8_t, 16 + 16 + kHashBytesMax> bytes;
  std::memcpy(bytes.data(), tenant.bytes.data(), 16);
  std::memcpy(bytes.data() + 16, space.bytes.data(), 16);
  std::memcpy(bytes.data() + 32, hash.bytes.data(), hash.size);
  const Fingerprint print = XXH3_64bits_withSeed(bytes.data(), 32u + hash.size, seed);
  return print == 0 ? 1 : print;
}

}  // namespace tarn::index
