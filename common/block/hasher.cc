#include "common/block/hasher.h"

#include "common/base/check.h"
#include "common/block/sha256.h"

namespace tarn::block {
namespace {

// The major types of CBOR (RFC 8949, 3.1) that the hashes use.
enum class CborType : uint8_t { unsigned_int = 0, bytes = 2, text = 3, array = 4 };
constexpr char kCborNull = static_cast<char>(0xf6);

// A head in its shortest form, as canonical CBOR asks for.
void append_head(std::string& out, CborType type, uint64_t value) {
  const auto major = static_cast<uint8_t>(static_cast<uint8_t>(type) << 5);
  if (value < 24) {
    out.push_back(static_cast<char>(major | value));
    return;
  }
  const int width_log2 = value <= 0xff ? 0 : value <= 0xffff ? 1 : value <= 0xffffffff ? 2 : 3;
  out.push_back(static_cast<char>(major | (24 + width_log2)));
  for (int shift = (8 << width_log2) - 8; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(value >> shift & 0xff));
}

void append_string(std::string& out, CborType type, std::string_view value) {
  append_head(out, type, value.size());
  out.append(value);
}

void append_extra(std::string& out, const Extra& extra, bool is_first) {
  const size_t count = extra.every_block.size() + (is_first ? extra.first_block.size() : 0);
  if (count == 0) {
    out.push_back(kCborNull);
    return;
  }
  append_head(out, CborType::array, count);
  for (const std::string& key : extra.every_block)
    append_string(out, CborType::text, key);
  if (!is_first) return;
  for (const std::string& key : extra.first_block)
    append_string(out, CborType::text, key);
}

BlockHash to_hash(const Digest256& digest) {
  BlockHash hash;
  hash.size = static_cast<uint8_t>(digest.size());
  hash.bytes = digest;
  return hash;
}

BlockHash hash_u32le(const BlockHash* parent, std::span<const uint32_t> block) {
  Sha256 sha;
  if (parent != nullptr) sha.update(parent->view());
  for (const uint32_t token : block) {
    const std::array<uint8_t, 4> bytes = {
        static_cast<uint8_t>(token), static_cast<uint8_t>(token >> 8),
        static_cast<uint8_t>(token >> 16), static_cast<uint8_t>(token >> 24)};
    sha.update(bytes.data(), bytes.size());
  }
  return to_hash(sha.finish());
}

}  // namespace

Result<PrefixHasher> PrefixHasher::open(std::string_view scheme, std::string_view seed,
                                        uint32_t block_tokens) {
  if (scheme != kSha256Cbor && scheme != kSha256U32Le)
    return invalid_argument("hash_scheme: no hasher is called " + std::string(scheme));
  if (block_tokens == 0) return invalid_argument("block_tokens: is 0");
  PrefixHasher hasher;
  hasher.x_is_cbor = scheme == kSha256Cbor;
  hasher.x_block_tokens = block_tokens;
  if (!hasher.x_is_cbor) {
    if (!seed.empty()) return invalid_argument("hash_seed: sha256_u32le has none");
    return hasher;
  }
  if (seed.empty())
    return invalid_argument("hash_seed: sha256_cbor needs the engine's PYTHONHASHSEED");
  std::string encoded;
  append_string(encoded, CborType::text, seed);
  hasher.x_root = to_hash(sha256(encoded));
  return hasher;
}

Status PrefixHasher::check(const Extra& extra) const {
  if (x_is_cbor || extra.is_empty()) return Status::ok();
  return invalid_argument("extra: sha256_u32le has no extra keys");
}

BlockHash PrefixHasher::hash_block(const BlockHash* parent, std::span<const uint32_t> block,
                                   const Extra& extra) const {
  TARN_DCHECK(block.size() == x_block_tokens);
  if (!x_is_cbor) return hash_u32le(parent, block);
  std::string encoded;
  encoded.reserve(48 + 5 * block.size());
  append_head(encoded, CborType::array, 3);
  append_string(encoded, CborType::bytes, (parent != nullptr ? *parent : x_root).view());
  append_head(encoded, CborType::array, block.size());
  for (const uint32_t token : block)
    append_head(encoded, CborType::unsigned_int, token);
  append_extra(encoded, extra, parent == nullptr);
  return to_hash(sha256(encoded));
}

Result<std::vector<BlockHash>> PrefixHasher::hash(std::span<const uint32_t> tokens,
                                                  const Extra& extra) const {
  TARN_RETURN_IF_ERROR(check(extra));
  std::vector<BlockHash> hashes;
  hashes.reserve(tokens.size() / x_block_tokens);
  for (size_t at = 0; at + x_block_tokens <= tokens.size(); at += x_block_tokens) {
    const BlockHash* parent = hashes.empty() ? nullptr : &hashes.back();
    hashes.push_back(hash_block(parent, tokens.subspan(at, x_block_tokens), extra));
  }
  return hashes;
}

Result<BlockHash> PrefixHasher::next(const BlockHash* parent, std::span<const uint32_t> block,
                                     const Extra& extra) const {
  TARN_RETURN_IF_ERROR(check(extra));
  if (block.size() != x_block_tokens) {
    return invalid_argument("block: has " + std::to_string(block.size()) + " tokens, must have " +
                            std::to_string(x_block_tokens));
  }
  return hash_block(parent, block, extra);
}

}  // namespace tarn::block
