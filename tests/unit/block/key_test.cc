#include "common/block/key.h"

#include <gtest/gtest.h>

#include <set>
#include <unordered_set>

#include "common/block/space.h"

namespace tarn::block {
namespace {

TEST(BlockHash, holds_one_to_thirty_two_bytes) {
  for (size_t size = 1; size <= 32; ++size) {
    const std::string bytes(size, 'x');
    EXPECT_EQ(BlockHash::from(bytes).value().view(), bytes);
  }
  for (const size_t size : {0ul, 33ul, 300ul}) {
    const auto refused = BlockHash::from(std::string(size, 'x'));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code(), Code::invalid_argument);
    EXPECT_NE(refused.error().message().find("block hash"), std::string::npos);
  }
}

TEST(BlockHash, tells_a_short_hash_from_its_zero_padded_form) {
  const auto brief = BlockHash::from("ab").value();
  const auto padded = BlockHash::from(std::string_view("ab\0", 3)).value();
  EXPECT_NE(brief, padded);
  EXPECT_LT(brief, padded);
  EXPECT_NE(hash_value(brief), hash_value(padded));
  EXPECT_LT(BlockHash::from("a").value(), BlockHash::from("b").value());
  EXPECT_EQ(to_hex(padded), "616200");
}

TEST(BlockKey, every_part_counts) {
  const BlockKey base{tenant_id("a"), SpaceId{}, Shard{0}, BlockHash::from("h").value()};
  BlockKey tenant = base, space = base, shard = base, hash = base;
  tenant.tenant = tenant_id("b");
  space.space.bytes[15] = 1;
  shard.shard = Shard{1};
  hash.hash = BlockHash::from("i").value();
  const std::unordered_set<BlockKey> all = {base, tenant, space, shard, hash, base};
  EXPECT_EQ(all.size(), 5u);
  std::set<uint64_t> values;
  for (const BlockKey& key : all)
    values.insert(hash_value(key));
  EXPECT_EQ(values.size(), 5u);
}

TEST(TenantId, is_the_first_half_of_sha256_of_the_name) {
  EXPECT_EQ(to_hex(tenant_id("abc")), "ba7816bf8f01cfea414140de5dae2223");
}

SpaceSpec llama() {
  return {
      .model = "llama-3-8b", .revision = "r1", .dtype = "bf16", .layout = "NHD", .hash_seed = "0"};
}

TEST(Space, canonical_bytes_are_as_documented) {
  SpaceSpec spec = llama();
  spec.revision = "";
  const std::string bytes = canonical_bytes(spec);
  EXPECT_EQ(to_hex(std::string_view(bytes)),
            to_hex(std::string_view("tarn space 1")) + "0a000000" +
                to_hex(std::string_view("llama-3-8b")) + "00000000" + "04000000" +
                to_hex(std::string_view("bf16")) + "03000000" + to_hex(std::string_view("NHD")) +
                "0b000000" + to_hex(std::string_view("sha256_cbor")) + "01000000" + "30" +
                "0400000010000000" + "0400000001000000" + "0400000000000000" + "0400000020000000");
}

TEST(Space, each_field_makes_another_space) {
  std::vector<SpaceSpec> specs(11, llama());
  specs[1].model = "m";
  specs[2].revision = "r2";
  specs[3].dtype = "fp8";
  specs[4].layout = "HND";
  specs[5].block_tokens = 32;
  specs[6].tensor_parallel = 2;
  specs[7].hash_scheme = "own";
  specs[8].hash_seed = "1";
  specs[9].kind = SpaceKind::flat;
  specs[10].extent_blocks = 16;
  std::set<SpaceId> ids;
  for (const SpaceSpec& spec : specs) {
    EXPECT_TRUE(validate(spec).is_ok()) << validate(spec).to_string();
    ids.insert(space_id(spec));
  }
  EXPECT_EQ(ids.size(), specs.size());
}

TEST(Space, bytes_do_not_wander_between_fields) {
  SpaceSpec a = llama(), b = llama();
  a.dtype = "bf16x", a.layout = "y";
  b.dtype = "bf16", b.layout = "xy";
  EXPECT_NE(space_id(a), space_id(b));
}

TEST(Space, a_flat_space_counts_extents_of_one) {
  SpaceSpec a = llama(), b = llama();
  a.kind = b.kind = SpaceKind::flat;
  b.extent_blocks = 7;
  EXPECT_EQ(extent_blocks_of(b), 1u);
  EXPECT_EQ(space_id(a), space_id(b));
}

TEST(Space, validate_names_the_field) {
  const auto refusal = [](auto change) {
    SpaceSpec spec = llama();
    change(spec);
    return validate(spec).message();
  };
  EXPECT_EQ(refusal([](SpaceSpec& s) { s.model = ""; }), "space.model: empty");
  EXPECT_EQ(refusal([](SpaceSpec& s) { s.hash_scheme = ""; }), "space.hash_scheme: empty");
  EXPECT_EQ(refusal([](SpaceSpec& s) { s.layout = std::string(257, 'x'); }),
            "space.layout: longer than 256 bytes");
  EXPECT_EQ(refusal([](SpaceSpec& s) { s.block_tokens = 0; }),
            "space.block_tokens: is 0, must be 1 to 1048576");
  EXPECT_EQ(refusal([](SpaceSpec& s) { s.tensor_parallel = 0; }),
            "space.tensor_parallel: is 0, must be 1 to 4096");
  EXPECT_EQ(refusal([](SpaceSpec& s) { s.extent_blocks = 65; }),
            "space.extent_blocks: is 65, must be 1 to 64");
  EXPECT_EQ(refusal([](SpaceSpec& s) { s.kind = static_cast<SpaceKind>(9); }),
            "space.kind: neither chained nor flat");
}

}  // namespace
}  // namespace tarn::block
