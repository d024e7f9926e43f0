#pragma once

#include <cstdint>
#include <string_view>

#include "common/base/ids.h"
#include "common/block/key.h"

namespace tarn::ring {

// The place of an extent on the ring: XXH3-64 (seed 0) of the length-prefixed fields tenant, space
// and anchor, each as u32 little-endian length and bytes. Never changes; vectors in docs/RING.md.
Position position_of(const TenantId& tenant, const SpaceId& space, const block::BlockHash& anchor);

// The place of a session: the same over the fields tenant and session id.
Position session_position(const TenantId& tenant, std::string_view session_id);

// The session slot of a position: its top 10 bits.
SlotId slot_of(Position position);

// The lane, below lane_count, that serves a position within its server. Taken from the low half of
// the position: the high half orders the ring, so one server's positions share it in runs.
// Precondition: lane_count > 0.
uint32_t lane_of(Position position, uint32_t lane_count);

}  // namespace tarn::ring
