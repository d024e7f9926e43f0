#pragma once

#include "proto/tarn/v1/sessions.pb.h"

namespace tarn::session {

// Changes of a manifest's chain; the version and the dates are the caller's.

// Adds a block after the last, to the run of its extent where it continues it.
void add_block(v1::Manifest& manifest, const v1::BlockRef& block);

// Keeps the first `keep` blocks, and of the token ids the share that belongs to them.
// Precondition: keep <= block_count(manifest).
void cut_blocks(v1::Manifest& manifest, uint64_t keep);

}  // namespace tarn::session
