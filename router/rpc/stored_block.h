#pragma once

#include <optional>
#include <vector>

#include "proto/tarn/v1/storage.pb.h"
#include "router/index/stored_block.h"

namespace tarn::router {

// None for a message that cannot be of a block: sizes of ids and hashes are checked here, the rest
// by the index.
std::optional<index::StoredBlock> from_proto(const v1::StoredBlock& message);
// Those of the message that can be of a block.
std::vector<index::BlockEvent> events_from(const v1::BlockEvents& message);

}  // namespace tarn::router
