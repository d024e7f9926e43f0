#include "common/block/sha256.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/ids.h"

namespace tarn::block {
namespace {

std::string hex(const Digest256& digest) {
  return to_hex(std::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

class Sha256Engines : public testing::TestWithParam<Sha256Engine> {
 protected:
  std::string digest(std::string_view bytes) const {
    Sha256 hash(GetParam());
    hash.update(bytes);
    return hex(hash.finish());
  }
};

// FIPS 180-4 examples and the million a's of NIST's long vectors.
TEST_P(Sha256Engines, gives_the_digests_of_fips_180) {
  EXPECT_EQ(digest(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(digest("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                   "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"),
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  EXPECT_EQ(digest(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_P(Sha256Engines, does_not_care_how_the_bytes_are_cut) {
  std::string bytes(300, '\0');
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<char>(i * 7);
  for (size_t step = 1; step <= 130; ++step) {
    Sha256 hash(GetParam());
    for (size_t at = 0; at < bytes.size(); at += step)
      hash.update(std::string_view(bytes).substr(at, step));
    ASSERT_EQ(hex(hash.finish()), digest(bytes)) << "step " << step;
  }
}

TEST_P(Sha256Engines, agree_on_every_length) {
  std::string bytes;
  for (int length = 0; length < 200; ++length) {
    Sha256 plain(Sha256Engine::scalar);
    plain.update(bytes);
    ASSERT_EQ(digest(bytes), hex(plain.finish())) << "length " << length;
    bytes.push_back(static_cast<char>(length * 31 + 1));
  }
}

INSTANTIATE_TEST_SUITE_P(All, Sha256Engines,
                         testing::Values(Sha256Engine::scalar, Sha256Engine::x86_sha));

TEST(Sha256DeathTest, is_spent_after_finish) {
  Sha256 hash;
  (void)hash.finish();
  EXPECT_DEATH(hash.update("more"), "check failed");
}

}  // namespace
}  // namespace tarn::block
