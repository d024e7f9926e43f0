#include "common/block/hasher.h"

#include <gtest/gtest.h>

#include <numeric>

namespace tarn::block {
namespace {

std::vector<uint32_t> range(uint32_t from, uint32_t to) {
  std::vector<uint32_t> tokens(to - from);
  std::iota(tokens.begin(), tokens.end(), from);
  return tokens;
}

PrefixHasher vllm(uint32_t block_tokens) {
  return PrefixHasher::open(kSha256Cbor, "0", block_tokens).value();
}

std::string first_hash(const std::vector<uint32_t>& tokens, const Extra& extra = {}) {
  const PrefixHasher hasher = vllm(static_cast<uint32_t>(tokens.size()));
  return to_hex(hasher.next(nullptr, tokens, extra).value());
}

const std::vector<uint32_t> kWidths = {0, 23, 24, 255, 256, 65535, 65536, 151643};

TEST(Sha256Cbor, seed_gives_the_parent_of_first_blocks) {
  EXPECT_EQ(to_hex(vllm(16).root()),
            "4e1195df020de59e0d65a33a4279f1183e7ae4e5d980e309f8b55adff2e61c3e");
}

TEST(Sha256Cbor, hashes_a_chain_as_vllm_does) {
  const auto hashes = vllm(16).hash(range(0, 32)).value();
  ASSERT_EQ(hashes.size(), 2u);
  EXPECT_EQ(to_hex(hashes[0]), "d830de3d42c00f25a2949b5d12d98642664a44872c1614c5b0147556276afc9c");
  EXPECT_EQ(to_hex(hashes[1]), "fedd9e4abebebbe6f6cf96b682f08d316063fe2f22a5c552192dd62904fcccac");
}

TEST(Sha256Cbor, hashes_extras_as_a_tuple_of_strings) {
  EXPECT_EQ(first_hash(range(0, 16), {.every_block = {}, .first_block = {"salt"}}),
            "ba548bc465821c2e9b6a60ed95bf1a7bf56d08e438e8bcd7758f29086c085ab8");
  EXPECT_EQ(first_hash(kWidths, {.every_block = {"lora"}, .first_block = {"salt"}}),
            "0d312e2b41bf90a2a84ef97af1e01d9ed950b10737e7e5cc0f22e12f02d3ce5a");
}

TEST(Sha256Cbor, uses_the_shortest_form_of_every_integer) {
  EXPECT_EQ(first_hash({1, 2, 3}),
            "cda40c7574ea461341f97ec2da7fd58b6a87bb2dec300b56459988ca24465813");
  EXPECT_EQ(first_hash(kWidths),
            "ce0dfcb1c5048e48dabe64b7d6a2edb877f8384e34be2eeb596defb25813e893");
}

TEST(Sha256Cbor, is_not_the_scheme_that_lmcache_gives_the_same_name) {
  EXPECT_NE(first_hash({1, 2, 3}),
            "8850135ef1d7b33ac0b6e79034c039d9eb7beea6fc15fa9d826602f68aa4fb2d");
}

TEST(Sha256Cbor, salts_the_first_block_only_and_a_lora_every_block) {
  const PrefixHasher hasher = vllm(4);
  const auto tokens = range(0, 8);
  const auto salted = hasher.hash(tokens, {.every_block = {}, .first_block = {"s"}}).value();
  const std::span<const uint32_t> second = std::span(tokens).subspan(4);
  EXPECT_EQ(salted[1], hasher.next(&salted[0], second).value());
  const auto lora = hasher.hash(tokens, {.every_block = {"l"}, .first_block = {}}).value();
  EXPECT_NE(lora[1], hasher.next(&lora[0], second).value());
}

TEST(Sha256U32Le, hashes_a_chain_as_sglang_does) {
  const auto hasher = PrefixHasher::open(kSha256U32Le, "", 64).value();
  const auto hashes = hasher.hash(range(0, 128)).value();
  ASSERT_EQ(hashes.size(), 2u);
  EXPECT_EQ(to_hex(hashes[0]), "fea7b32778ecbdd7adee1941e98c89cf96bbc762f5f1beb0be24e36a456fbbc5");
  EXPECT_EQ(to_hex(hashes[1]), "1617a7384eff5e9135098c24794739af884859cdb17c1a61a834e8d6ac997351");
  EXPECT_TRUE(hasher.root().is_empty());
}

TEST(Sha256U32Le, refuses_seed_and_extras_rather_than_dropping_them) {
  EXPECT_EQ(PrefixHasher::open(kSha256U32Le, "0", 64).error().code(), Code::invalid_argument);
  const auto hasher = PrefixHasher::open(kSha256U32Le, "", 4).value();
  const Extra salt{.every_block = {}, .first_block = {"salt"}};
  EXPECT_EQ(hasher.hash(range(0, 4), salt).error().code(), Code::invalid_argument);
  EXPECT_EQ(hasher.next(nullptr, range(0, 4), salt).error().code(), Code::invalid_argument);
}

TEST(PrefixHasher, hashes_full_blocks_only) {
  for (const std::string_view scheme : {kSha256Cbor, kSha256U32Le}) {
    const auto hasher = PrefixHasher::open(scheme, scheme == kSha256Cbor ? "0" : "", 16).value();
    EXPECT_EQ(hasher.scheme(), scheme);
    EXPECT_EQ(hasher.block_tokens(), 16u);
    EXPECT_TRUE(hasher.hash({}).value().empty());
    EXPECT_TRUE(hasher.hash(range(0, 15)).value().empty());
    EXPECT_EQ(hasher.hash(range(0, 47)).value(), hasher.hash(range(0, 32)).value());
    EXPECT_EQ(hasher.next(nullptr, range(0, 15)).error().code(), Code::invalid_argument);
  }
}

TEST(PrefixHasher, next_continues_a_chain) {
  const PrefixHasher hasher = vllm(8);
  const auto tokens = range(100, 148);
  const auto whole = hasher.hash(tokens).value();
  const BlockHash* parent = nullptr;
  for (size_t i = 0; i < whole.size(); ++i) {
    const auto block = std::span(tokens).subspan(i * 8, 8);
    EXPECT_EQ(hasher.next(parent, block).value(), whole[i]);
    parent = &whole[i];
  }
}

TEST(PrefixHasher, refuses_what_cannot_be_shared_between_processes) {
  EXPECT_EQ(PrefixHasher::open("sha256", "0", 16).error().code(), Code::invalid_argument);
  EXPECT_EQ(PrefixHasher::open(kSha256Cbor, "", 16).error().code(), Code::invalid_argument);
  EXPECT_EQ(PrefixHasher::open(kSha256Cbor, "0", 0).error().code(), Code::invalid_argument);
}

}  // namespace
}  // namespace tarn::block
