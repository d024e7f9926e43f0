#include "common/block/space.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/little_endian.h"
#include "common/block/sha256.h"

namespace tarn::block {
namespace {

void append_field(std::string& out, std::string_view field) {
  append_le(out, static_cast<uint32_t>(field.size()));
  out.append(field);
}

void append_field(std::string& out, uint32_t field) {
  append_le(out, uint32_t{4});
  append_le(out, field);
}

Status check_text(std::string_view name, std::string_view value, bool required) {
  if (required && value.empty()) return invalid_argument("space." + std::string(name) + ": empty");
  if (value.size() <= kSpaceTextBytesMax) return Status::ok();
  return invalid_argument("space." + std::string(name) + ": longer than 256 bytes");
}

Status check_range(std::string_view name, uint32_t value, uint32_t least, uint32_t most) {
  if (value >= least && value <= most) return Status::ok();
  return invalid_argument("space." + std::string(name) + ": is " + std::to_string(value) +
                          ", must be " + std::to_string(least) + " to " + std::to_string(most));
}

}  // namespace

uint32_t extent_blocks_of(const SpaceSpec& spec) {
  return spec.kind == SpaceKind::flat ? 1 : spec.extent_blocks;
}

Status validate(const SpaceSpec& spec) {
  if (spec.kind != SpaceKind::chained && spec.kind != SpaceKind::flat)
    return invalid_argument("space.kind: neither chained nor flat");
  TARN_RETURN_IF_ERROR(check_text("model", spec.model, true));
  TARN_RETURN_IF_ERROR(check_text("revision", spec.revision, false));
  TARN_RETURN_IF_ERROR(check_text("dtype", spec.dtype, false));
  TARN_RETURN_IF_ERROR(check_text("layout", spec.layout, false));
  TARN_RETURN_IF_ERROR(check_text("hash_scheme", spec.hash_scheme, true));
  TARN_RETURN_IF_ERROR(check_text("hash_seed", spec.hash_seed, false));
  const uint32_t least_tokens = spec.kind == SpaceKind::chained ? 1 : 0;
  TARN_RETURN_IF_ERROR(
      check_range("block_tokens", spec.block_tokens, least_tokens, kSpaceBlockTokensMax));
  TARN_RETURN_IF_ERROR(check_range("tensor_parallel", spec.tensor_parallel, 1, kTensorParallelMax));
  return check_range("extent_blocks", extent_blocks_of(spec), 1, kExtentBlocksMax);
}

std::string canonical_bytes(const SpaceSpec& spec) {
  std::string out = "tarn space 1";
  for (const std::string* text :
       {&spec.model, &spec.revision, &spec.dtype, &spec.layout, &spec.hash_scheme, &spec.hash_seed})
    append_field(out, *text);
  append_field(out, spec.block_tokens);
  append_field(out, spec.tensor_parallel);
  append_field(out, static_cast<uint32_t>(spec.kind));
  append_field(out, extent_blocks_of(spec));
  return out;
}

SpaceId space_id(const SpaceSpec& spec) {
  const Digest256 digest = sha256(canonical_bytes(spec));
  SpaceId id;
  std::copy_n(digest.begin(), id.bytes.size(), id.bytes.begin());
  TARN_CHECK(!id.is_zero());
  return id;
}

}  // namespace tarn::block
