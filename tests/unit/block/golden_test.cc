#include <gtest/gtest.h>
#include <xxhash.h>

#include <random>

#include "common/base/little_endian.h"
#include "common/block/checksum.h"
#include "common/block/hasher.h"
#include "common/block/header.h"
#include "common/block/sha256.h"
#include "common/block/space.h"

// Names under which data lies on other machines and in other processes. The vectors were made with
// Python's hashlib and struct from the formats that the headers state, not with this code: where
// one fails, data that was stored before cannot be found again.
namespace tarn::block {
namespace {

TEST(Golden, tenants_keep_their_ids) {
  EXPECT_EQ(to_hex(tenant_id("")), "e3b0c44298fc1c149afbf4c8996fb924");
  EXPECT_EQ(to_hex(tenant_id("acme")), "822b33ad87c148a0a20a5ba7cd5ebcaa");
  EXPECT_EQ(to_hex(tenant_id("acme/w1")), "5353803e7521042f03b9cffb7c3d0605");
  EXPECT_EQ(to_hex(tenant_id(std::string(128, 'a'))), "6836cf13bac400e9105071cd6af47084");
}

SpaceSpec spec_of(const std::string& model) {
  SpaceSpec spec;
  spec.model = model;
  return spec;
}

TEST(Golden, spaces_keep_their_ids) {
  EXPECT_EQ(to_hex(space_id(spec_of("m"))), "88ed645a4b833f0078728a3c9a445572");
  SpaceSpec llama = spec_of("meta-llama/Llama-3.1-70B");
  llama.revision = "r7";
  llama.dtype = "fp8_e4m3";
  llama.layout = "NHD:80";
  llama.block_tokens = 64;
  llama.tensor_parallel = 8;
  llama.hash_seed = "0";
  llama.extent_blocks = 64;
  EXPECT_EQ(to_hex(space_id(llama)), "2317466e949618896784fc40937390a8");
  SpaceSpec flat = spec_of("qwen");
  flat.dtype = "bf16";
  flat.block_tokens = 0;
  flat.tensor_parallel = 2;
  flat.hash_scheme = "engine's own";
  flat.kind = SpaceKind::flat;
  EXPECT_EQ(to_hex(space_id(flat)), "53a03a66d3a9ba59dd8889648750cd03");
}

TEST(Golden, the_largest_space_is_valid_and_keeps_its_id) {
  const auto longest = [](char c) { return std::string(kSpaceTextBytesMax, c); };
  SpaceSpec spec = spec_of(longest('m'));
  spec.revision = longest('r');
  spec.dtype = longest('d');
  spec.layout = longest('l');
  spec.block_tokens = kSpaceBlockTokensMax;
  spec.tensor_parallel = kTensorParallelMax;
  spec.hash_scheme = longest('h');
  spec.hash_seed = longest('s');
  spec.extent_blocks = kExtentBlocksMax;
  EXPECT_TRUE(validate(spec).is_ok());
  EXPECT_EQ(to_hex(space_id(spec)), "c426bd7ef210b38082d3d5b71db11f77");
}

BlockHeader example() {
  BlockHeader header;
  header.key.tenant.bytes.fill(0x11);
  header.key.space.bytes.fill(0x22);
  header.key.shard = Shard{7};
  header.key.hash = BlockHash::from("block-hash").value();
  std::string anchor;
  for (int i = 0; i < 32; ++i)
    anchor += static_cast<char>(i);
  header.anchor = BlockHash::from(anchor).value();
  header.index = 31;
  header.payload_bytes = kMiB;
  header.generation = Generation{0x0102030405060708};
  header.payload_crc = 0xdeadbeef;
  return header;
}

// Every byte of a header, its checksum included.
constexpr std::string_view kHeaderHex =
    "54524e420100a0001111111111111111111111111111111122222222222222222222222222222222"
    "070000001f00000000001000000000000807060504030201efbeadde000000000a200000"
    "626c6f636b2d6861736800000000000000000000000000000000000000000000"
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    "000000000000000000000000000000001913b4fc";

TEST(Golden, a_block_header_keeps_its_bytes) {
  const EncodedBlockHeader bytes = encode(example());
  EXPECT_EQ(to_hex(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())),
            kHeaderHex);
  const std::string stored = from_hex(kHeaderHex);
  EXPECT_EQ(decode(std::as_bytes(std::span(stored))).value(), example());
}

std::vector<uint32_t> scattered_tokens() {
  std::vector<uint32_t> tokens(300);
  for (uint32_t i = 0; i < tokens.size(); ++i)
    tokens[i] = i * 2654435761u;
  return tokens;
}

std::vector<std::string> hex_of(const std::vector<BlockHash>& hashes) {
  std::vector<std::string> all;
  for (const BlockHash& hash : hashes)
    all.push_back(to_hex(hash));
  return all;
}

TEST(Golden, chains_with_extras_keep_their_hashes) {
  const auto cbor = PrefixHasher::open(kSha256Cbor, "4294967295", 100).value();
  std::string salt;
  for (int i = 0; i < 70; ++i)
    salt += "salt";
  const Extra extra{.every_block = {"lora-\xc3\xa9"}, .first_block = {salt}};
  EXPECT_EQ(hex_of(cbor.hash(scattered_tokens(), extra).value()),
            (std::vector<std::string>{
                "d21226337d33ad57b253546baa071286193b1f90589f2795f0a9eff2ff43214f",
                "8b1aa9222ee3984346270e1c025ad8d5f94ae6176b5cca8fae01ce32e0687175",
                "07a0a7096047ad2ebd42c4229a44856d8e486bf6cd3db5bd32342a0538421253"}));
  const auto raw = PrefixHasher::open(kSha256U32Le, "", 100).value();
  EXPECT_EQ(hex_of(raw.hash(scattered_tokens()).value()),
            (std::vector<std::string>{
                "a8bf095503cbc9d6512ca9092cd4465990f6c8a8d42a9671ae0a9de64babfe57",
                "8de3a5ffa13520d08c94154ae5875496e6d6f1c542e567c9a8c3f0229f331d9c",
                "bd6e909b0f521ea55e4c9dec2c05d7f3c2477e75bb2fc00cf9c55cd0de66918b"}));
}

BlockKey random_key(std::mt19937_64& random) {
  BlockKey key;
  for (uint8_t& byte : key.tenant.bytes)
    byte = static_cast<uint8_t>(random());
  for (uint8_t& byte : key.space.bytes)
    byte = static_cast<uint8_t>(random());
  key.shard = Shard{static_cast<uint32_t>(random())};
  std::string hash(1 + random() % kHashBytesMax, '\0');
  for (char& c : hash)
    c = static_cast<char>(random());
  key.hash = BlockHash::from(hash).value();
  return key;
}

std::string text_of(const std::array<uint8_t, 16>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(HashValue, of_a_key_is_xxh3_of_its_documented_bytes) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 500; ++i) {
    const BlockKey key = random_key(random);
    std::string bytes = text_of(key.tenant.bytes) + text_of(key.space.bytes);
    append_le(bytes, key.shard.value);
    append_le(bytes, key.hash.size);
    bytes += key.hash.view();
    EXPECT_EQ(hash_value(key), XXH3_64bits(bytes.data(), bytes.size()));
    EXPECT_EQ(hash_value(key.hash), XXH3_64bits(key.hash.bytes.data(), key.hash.size));
  }
}

TEST(BlockKey, orders_by_tenant_then_space_then_shard_then_hash) {
  std::mt19937_64 random(12);
  for (int i = 0; i < 500; ++i) {
    BlockKey a = random_key(random), b = random_key(random);
    if (random() % 2 == 0) b.tenant = a.tenant;
    if (random() % 2 == 0) b.space = a.space;
    if (random() % 2 == 0) b.shard = a.shard;
    const auto parts = [](const BlockKey& k) {
      return std::tuple(text_of(k.tenant.bytes), text_of(k.space.bytes), k.shard.value,
                        std::string(k.hash.view()));
    };
    EXPECT_EQ(a < b, parts(a) < parts(b)) << "bytes compare as unsigned";
    EXPECT_EQ(a == b, parts(a) == parts(b));
  }
}

// Whatever lies on a device: what is taken for a header is one, and says the same again.
TEST(BlockHeader, random_bytes_under_a_fitting_checksum_decode_to_what_encodes_alike) {
  std::mt19937_64 random(13);
  int taken = 0;
  for (int i = 0; i < 20'000; ++i) {
    EncodedBlockHeader bytes = encode(example());
    for (uint64_t changes = 1 + random() % 3; changes > 0; --changes)
      bytes[8 + random() % 148] = static_cast<std::byte>(random() % 80);
    store_le(bytes.data() + 156, crc32c(0, bytes.data(), 156));
    const auto header = decode(bytes);
    if (!header.has_value()) {
      EXPECT_EQ(header.error().code(), Code::corrupt);
      continue;
    }
    ++taken;
    EXPECT_LT(header->index, kExtentBlocksMax);
    EXPECT_GE(header->payload_bytes, 1u);
    EXPECT_LE(header->payload_bytes, kBlockBytesMax);
    EXPECT_EQ(decode(encode(*header)).value(), *header);
  }
  EXPECT_GT(taken, 1000) << "the changes must leave headers that decode";
}

TEST(BlockHeader, each_refusal_says_what_does_not_hold) {
  const auto why = [](size_t at, uint8_t value) {
    EncodedBlockHeader bytes = encode(example());
    bytes[at] = static_cast<std::byte>(value);
    if (at < 156) store_le(bytes.data() + 156, crc32c(0, bytes.data(), 156));
    return decode(bytes).status();
  };
  EXPECT_EQ(why(0, 0), corrupt("block header: no magic"));
  EXPECT_EQ(why(4, 2), unsupported("block header: version 2"));
  EXPECT_EQ(why(5, 1), unsupported("block header: version 257"));
  EXPECT_EQ(why(6, 0xa1), corrupt("block header: states another size"));
  EXPECT_EQ(why(44, 64), corrupt("block header: index"));
  EXPECT_EQ(why(55, 1), corrupt("block header: payload bytes"));
  EXPECT_EQ(why(72, 33), corrupt("block header: size of a hash"));
  EXPECT_EQ(why(159, 0), corrupt("block header: checksum"));
  EXPECT_EQ(decode({}).status(), corrupt("block header: cut short"));
}

}  // namespace
}  // namespace tarn::block
