#pragma once

#include <cstdint>

#include "common/base/ids.h"
#include "common/block/key.h"

namespace tarn::index {

// 64 bits for {tenant, space, hash}; never 0, which means "none" in rows.
using Fingerprint = uint64_t;

// A secret that no tenant can guess, so that none can choose hashes which collide with another's.
uint64_t draw_seed();

// XXH3-64 under `seed`. Two blocks that share one cost a miss at the server that is asked, never a
// wrong byte: bytes are found by block key. With 10 million blocks the chance that any two do is
// 3 in a million.
Fingerprint fingerprint_of(uint64_t seed, const TenantId& tenant, const SpaceId& space,
                           const block::BlockHash& hash);

}  // namespace tarn::index
