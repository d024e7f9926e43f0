#include "router/index/fingerprint.h"

// Of 8 bytes it is a few instructions, of which a call would be the dearest.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>
#include <cstring>
#include <random>

namespace tarn::index {

uint64_t draw_seed() {
  std::random_device device;
  const uint64_t high = device();
  return high << 32 | device();
}

DomainKey domain_key(uint64_t seed, const TenantId& tenant, const SpaceId& space) {
  std::array<uint8_t, 16 + 16> bytes;
  std::memcpy(bytes.data(), tenant.bytes.data(), 16);
  std::memcpy(bytes.data() + 16, space.bytes.data(), 16);
  return {XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed)};
}

Fingerprint fingerprint_of(DomainKey key, uint64_t digest) {
  const Fingerprint print = XXH3_64bits_withSeed(&digest, sizeof(digest), key.value);
  return print == 0 ? 1 : print;
}

}  // namespace tarn::index
