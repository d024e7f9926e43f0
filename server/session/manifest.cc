#include "server/session/manifest.h"

#include "common/base/check.h"
#include "server/session/session_table.h"

namespace tarn::session {

uint64_t block_count(const v1::Manifest& manifest) {
  uint64_t count = 0;
  for (const auto& run : manifest.runs())
    count += static_cast<uint64_t>(run.hashes_size());
  return count;
}

void add_block(v1::Manifest& manifest, const v1::BlockRef& block) {
  if (manifest.runs_size() > 0) {
    v1::ExtentRun& last = *manifest.mutable_runs(manifest.runs_size() - 1);
    const uint32_t next = last.first_index() + static_cast<uint32_t>(last.hashes_size());
    if (last.anchor() == block.anchor() && next == block.index()) {
      last.add_hashes(block.hash());
      return;
    }
  }
  v1::ExtentRun& run = *manifest.add_runs();
  run.set_anchor(block.anchor());
  run.set_first_index(block.index());
  run.add_hashes(block.hash());
}

void cut_blocks(v1::Manifest& manifest, uint64_t keep) {
  const uint64_t before = block_count(manifest);
  TARN_CHECK(keep <= before);
  uint64_t left = keep;
  int runs = 0;
  while (left > 0) {
    v1::ExtentRun& run = *manifest.mutable_runs(runs++);
    const auto in_run = static_cast<uint64_t>(run.hashes_size());
    if (in_run > left) {
      run.mutable_hashes()->DeleteSubrange(static_cast<int>(left), static_cast<int>(in_run - left));
    }
    left -= std::min(left, in_run);
  }
  manifest.mutable_runs()->DeleteSubrange(runs, manifest.runs_size() - runs);
  const auto ids = static_cast<uint64_t>(manifest.token_ids_size());
  if (before > 0) manifest.mutable_token_ids()->Truncate(static_cast<int>(ids * keep / before));
}

}  // namespace tarn::session
