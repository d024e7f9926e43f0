#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/block/key.h"

namespace tarn::block {

inline constexpr std::string_view kSha256Cbor = "sha256_cbor";
inline constexpr std::string_view kSha256U32Le = "sha256_u32le";

// What makes the KV of equal tokens differ. vLLM's tuple of extra keys for the first block is
// every_block followed by first_block, for all others every_block alone; an empty tuple is null.
struct Extra {
  std::vector<std::string> every_block;  // the LoRA name
  std::vector<std::string> first_block;  // the cache salt

  bool is_empty() const { return every_block.empty() && first_block.empty(); }
};

// Computes block hashes from tokens as an engine does, so that Tarn and the engine agree on names.
// Immutable after open, thread-safe. Schemes:
//  - sha256_cbor: vLLM's. SHA-256 of the canonical CBOR of [parent, [tokens], extra or null]; the
//    first block's parent is SHA-256 of the CBOR of the seed, which is vLLM's PYTHONHASHSEED and
//    must be given (vLLM draws a random one without).
//  - sha256_u32le: SGLang HiCache's. SHA-256 of the parent's digest, then each token as u32 little
//    endian; the first block has no parent bytes; knows neither seed nor extras.
// Limits: extras are strings; vLLM's multimodal keys that are tuples are not made here. LMCache
// writes [] where vLLM writes null, so what it calls sha256_cbor is another scheme.
class PrefixHasher {
 public:
  // Returns: the hasher, invalid_argument for an unknown scheme, a seed that is missing or of no
  // use, or block_tokens 0.
  static Result<PrefixHasher> open(std::string_view scheme, std::string_view seed,
                                   uint32_t block_tokens);

  // Hashes of the full blocks of `tokens`; what is left over at the end has none.
  // Returns: the hashes, invalid_argument for extras in a scheme that has none.
  Result<std::vector<BlockHash>> hash(std::span<const uint32_t> tokens,
                                      const Extra& extra = {}) const;

  // The hash of one block of block_tokens tokens after `parent`, or of a chain's first block when
  // that is null. Returns: the hash, invalid_argument as above or for a block of another length.
  Result<BlockHash> next(const BlockHash* parent, std::span<const uint32_t> block,
                         const Extra& extra = {}) const;

  uint32_t block_tokens() const { return x_block_tokens; }
  std::string_view scheme() const { return x_is_cbor ? kSha256Cbor : kSha256U32Le; }
  // The parent of a first block: vLLM's NONE_HASH; empty in sha256_u32le.
  const BlockHash& root() const { return x_root; }

 private:
  PrefixHasher() = default;
  Status check(const Extra& extra) const;
  BlockHash hash_block(const BlockHash* parent, std::span<const uint32_t> block,
                       const Extra& extra) const;

  bool x_is_cbor = true;
  uint32_t x_block_tokens = 0;
  BlockHash x_root;
};

}  // namespace tarn::block
