#include <gtest/gtest.h>

#include <random>

#include "common/block/hasher.h"
#include "common/block/sha256.h"

// PrefixHasher against a second writing of its two schemes, and what the prefix index builds on.
namespace tarn::block {
namespace {

// RFC 8949, 4.2.1: the shortest head.
std::string cbor_head(int major, uint64_t value) {
  const auto lead = [major](uint64_t low) {
    return std::string(1, static_cast<char>(major << 5 | static_cast<int>(low)));
  };
  if (value < 24) return lead(value);
  const int bytes = value < 0x100 ? 1 : value < 0x10000 ? 2 : value < 0x100000000 ? 4 : 8;
  std::string head = lead(bytes == 1 ? 24 : bytes == 2 ? 25 : bytes == 4 ? 26 : 27);
  for (int i = bytes - 1; i >= 0; --i)
    head += static_cast<char>(value >> (8 * i));
  return head;
}

std::string text_of(const Digest256& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string reference_cbor(const std::string& parent, std::span<const uint32_t> block,
                           const std::vector<std::string>& extras) {
  std::string all = cbor_head(4, 3) + cbor_head(2, parent.size()) + parent;
  all += cbor_head(4, block.size());
  for (const uint32_t token : block)
    all += cbor_head(0, token);
  if (extras.empty()) return text_of(sha256(all + '\xf6'));
  all += cbor_head(4, extras.size());
  for (const std::string& extra : extras)
    all += cbor_head(3, extra.size()) + extra;
  return text_of(sha256(all));
}

std::string reference_u32le(const std::string& parent, std::span<const uint32_t> block) {
  std::string all = parent;
  for (const uint32_t token : block) {
    for (int shift = 0; shift < 32; shift += 8)
      all += static_cast<char>(token >> shift);
  }
  return text_of(sha256(all));
}

class Chains : public testing::Test {
 protected:
  uint32_t below(uint32_t end) { return static_cast<uint32_t>(x_random() % end); }

  // Of every width that CBOR has for them.
  std::vector<uint32_t> tokens(size_t count) {
    std::vector<uint32_t> all(count);
    for (uint32_t& token : all)
      token = static_cast<uint32_t>(x_random()) >> below(32);
    return all;
  }

  std::vector<std::string> words(size_t most) {
    std::vector<std::string> all(below(static_cast<uint32_t>(most) + 1));
    for (std::string& word : all)
      word.assign(below(300), static_cast<char>('a' + below(26)));
    return all;
  }

  std::mt19937_64 x_random{20261122};
};

TEST_F(Chains, of_sha256_cbor_agree_with_a_second_writing) {
  for (int round = 0; round < 60; ++round) {
    const uint32_t block_tokens = 1 + below(300);
    const std::string seed = std::to_string(x_random());
    const auto hasher = PrefixHasher::open(kSha256Cbor, seed, block_tokens).value();
    const auto all = tokens(below(5 * block_tokens));
    const Extra extra{words(2), words(2)};
    std::vector<std::string> first = extra.every_block;
    first.insert(first.end(), extra.first_block.begin(), extra.first_block.end());
    const auto hashes = hasher.hash(all, extra).value();
    ASSERT_EQ(hashes.size(), all.size() / block_tokens);
    std::string parent = text_of(sha256(cbor_head(3, seed.size()) + seed));
    EXPECT_EQ(hasher.root().view(), parent);
    for (size_t i = 0; i < hashes.size(); ++i) {
      const auto block = std::span(all).subspan(i * block_tokens, block_tokens);
      parent = reference_cbor(parent, block, i == 0 ? first : extra.every_block);
      ASSERT_EQ(to_hex(hashes[i]), to_hex(parent)) << "round " << round << " block " << i;
    }
  }
}

TEST_F(Chains, of_sha256_u32le_agree_with_a_second_writing) {
  for (int round = 0; round < 60; ++round) {
    const uint32_t block_tokens = 1 + below(300);
    const auto hasher = PrefixHasher::open(kSha256U32Le, "", block_tokens).value();
    const auto all = tokens(below(5 * block_tokens));
    std::string parent;
    const auto hashes = hasher.hash(all).value();
    for (size_t i = 0; i < hashes.size(); ++i) {
      parent = reference_u32le(parent, std::span(all).subspan(i * block_tokens, block_tokens));
      ASSERT_EQ(to_hex(hashes[i]), to_hex(parent)) << "round " << round << " block " << i;
    }
  }
}

// What Match stands on: equal prefixes have equal hashes, and after the first token that differs
// none is equal again.
TEST_F(Chains, share_exactly_the_hashes_of_their_common_prefix) {
  for (const std::string_view scheme : {kSha256Cbor, kSha256U32Le}) {
    const auto hasher = PrefixHasher::open(scheme, scheme == kSha256Cbor ? "0" : "", 8).value();
    for (int round = 0; round < 100; ++round) {
      const auto a = tokens(80);
      auto b = a;
      const uint32_t at = below(80);
      b[at] ^= 1u << below(32);
      const auto hashes_a = hasher.hash(a).value();
      const auto hashes_b = hasher.hash(b).value();
      for (size_t i = 0; i < hashes_a.size(); ++i)
        ASSERT_EQ(hashes_a[i] == hashes_b[i], i < at / 8) << scheme << " token " << at;
    }
  }
}

TEST_F(Chains, do_not_confuse_where_tokens_and_extras_end) {
  const auto hasher = PrefixHasher::open(kSha256Cbor, "0", 2).value();
  const auto hash = [&](std::vector<std::string> every, std::vector<std::string> first) {
    return hasher.next(nullptr, std::vector<uint32_t>{1, 2}, {every, first}).value();
  };
  EXPECT_NE(hash({"ab"}, {}), hash({"a", "b"}, {}));
  EXPECT_NE(hash({"a", "b"}, {}), hash({"b", "a"}, {}));
  EXPECT_NE(hash({""}, {}), hash({}, {}));
  EXPECT_EQ(hash({"a"}, {"b"}), hash({"a", "b"}, {})) << "in the first block they are one tuple";
}

TEST_F(Chains, of_another_seed_or_block_length_share_nothing) {
  const auto all = tokens(64);
  const auto zero = PrefixHasher::open(kSha256Cbor, "0", 16).value().hash(all).value();
  const auto one = PrefixHasher::open(kSha256Cbor, "1", 16).value().hash(all).value();
  const auto longer = PrefixHasher::open(kSha256Cbor, "0", 32).value().hash(all).value();
  for (size_t i = 0; i < zero.size(); ++i)
    EXPECT_NE(zero[i], one[i]);
  EXPECT_NE(zero[1], longer[0]);
}

TEST(PrefixHasher, says_which_field_is_wrong) {
  const auto why = [](std::string_view scheme, std::string_view seed, uint32_t block_tokens) {
    return PrefixHasher::open(scheme, seed, block_tokens).error().message();
  };
  EXPECT_EQ(why("sha256", "0", 16), "hash_scheme: no hasher is called sha256");
  EXPECT_EQ(why(kSha256Cbor, "0", 0), "block_tokens: is 0");
  EXPECT_EQ(why(kSha256Cbor, "", 16), "hash_seed: sha256_cbor needs the engine's PYTHONHASHSEED");
  EXPECT_EQ(why(kSha256U32Le, "0", 16), "hash_seed: sha256_u32le has none");
  const auto hasher = PrefixHasher::open(kSha256U32Le, "", 4).value();
  EXPECT_EQ(hasher.next(nullptr, std::vector<uint32_t>(5)).error().message(),
            "block: has 5 tokens, must have 4");
  EXPECT_EQ(hasher.hash({}, {.every_block = {"x"}, .first_block = {}}).error().message(),
            "extra: sha256_u32le has no extra keys");
}

}  // namespace
}  // namespace tarn::block
