#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/base/units.h"

namespace tarn::block {

enum class SpaceKind : uint8_t {
  chained = 0,  // hashes form chains; blocks are placed by extents
  flat = 1,     // the engine knows only keys; each block is its own anchor
};

// Limits of a SpaceSpec.
inline constexpr uint32_t kSpaceTextBytesMax = 256;
inline constexpr uint32_t kSpaceBlockTokensMax = 1 << 20;
inline constexpr uint32_t kTensorParallelMax = 4096;

// One KV geometry. Whatever makes the bytes of two blocks differ in meaning belongs in here. Value
// type.
struct SpaceSpec {
  std::string model;
  std::string revision;
  std::string dtype;   // of the KV, with its quantisation: "bf16", "fp8_e4m3"
  std::string layout;  // order, packing, layers and KV group, in the engine's own words
  uint32_t block_tokens = 16;
  uint32_t tensor_parallel = 1;
  std::string hash_scheme = "sha256_cbor";  // a PrefixHasher's, or any name of the engine's own
  std::string hash_seed;                    // vLLM's PYTHONHASHSEED; empty where there is none
  SpaceKind kind = SpaceKind::chained;
  uint32_t extent_blocks = kExtentBlocksDefault;  // G; a flat space always counts as 1

  friend bool operator==(const SpaceSpec&, const SpaceSpec&) = default;
};

// G as it is used: 1 in a flat space.
uint32_t extent_blocks_of(const SpaceSpec& spec);

// Returns: ok, invalid_argument naming the field. Required: model, hash_scheme, block_tokens (in a
// chained space), tensor_parallel >= 1, extent_blocks 1 to kExtentBlocksMax.
Status validate(const SpaceSpec& spec);

// The bytes that identify the space: "tarn space 1", then model, revision, dtype, layout,
// hash_scheme, hash_seed, each as a u32 little-endian length and its bytes; then block_tokens,
// tensor_parallel, kind and extent_blocks_of as u32 little endian, each with the length 4 before
// it.
std::string canonical_bytes(const SpaceSpec& spec);

// The first 16 bytes of SHA-256 of canonical_bytes. The same in every tenant; a block key and a
// position always carry the tenant as well.
SpaceId space_id(const SpaceSpec& spec);

}  // namespace tarn::block
