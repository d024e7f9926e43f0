#pragma once

#include <cstdint>

#include "common/base/ids.h"
#include "common/block/key.h"

namespace tarn::index {

// 64 bits for {tenant, space, hash}; never 0, which means "none" in rows.
using Fingerprint = uint64_t;

// A secret that no tenant can guess, so that none can choose hashes which collide with another's.
uint64_t draw_seed();

// The secret under which the blocks of one {tenant, space} have their fingerprints.
struct DomainKey {
  uint64_t value = 0;
};
DomainKey domain_key(uint64_t seed, const TenantId& tenant, const SpaceId& space);

// The digest is block::hash_value() of the block's hash: who asks may have worked it out, as it
// takes no secret. Two blocks that share a fingerprint cost a miss at the server that is asked,
// never a wrong byte: bytes are found by block key. Under one key that takes two hashes with one
// digest, which is the tenant's own affair; under two it is chance, as nobody knows the keys. With
// 10 million blocks the chance that any two do is 3 in a million.
Fingerprint fingerprint_of(DomainKey key, uint64_t digest);

inline Fingerprint fingerprint_of(DomainKey key, const block::BlockHash& hash) {
  return fingerprint_of(key, block::hash_value(hash));
}

}  // namespace tarn::index
