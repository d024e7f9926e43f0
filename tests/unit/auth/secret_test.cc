#include "common/auth/secret.h"

#include <gtest/gtest.h>

#include "common/auth/base64url.h"
#include "common/auth/fields.h"
#include "common/base/fault_point.h"
#include "common/base/ids.h"

namespace tarn::auth {
namespace {

TEST(RandomBytes, are_as_many_as_asked_and_differ) {
  const std::string a = random_bytes(32).value();
  EXPECT_EQ(a.size(), 32u);
  EXPECT_NE(a, random_bytes(32).value());
  EXPECT_EQ(random_bytes(0).value(), "");
}

TEST(RandomBytes, say_when_the_generator_fails) {
  fault::arm("auth.random", {});
  EXPECT_EQ(random_bytes(32).error().code(), Code::unavailable);
  fault::disarm_all();
}

TEST(EqualInConstantTime, compares_sizes_and_bytes) {
  EXPECT_TRUE(equal_in_constant_time("", ""));
  EXPECT_TRUE(equal_in_constant_time("same", "same"));
  EXPECT_FALSE(equal_in_constant_time("same", "sama"));
  EXPECT_FALSE(equal_in_constant_time("same", "sam"));
}

// RFC 4231, test cases 1, 2 and 6.
TEST(HmacSha256, gives_the_published_vectors) {
  EXPECT_EQ(to_hex(hmac_sha256(std::string(20, '\x0b'), "Hi There").value()),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(to_hex(hmac_sha256("Jefe", {"what do ya want ", "", "for nothing?"}).value()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(to_hex(hmac_sha256(std::string(131, '\xaa'),
                               "Test Using Larger Than Block-Size Key - Hash Key First")
                       .value()),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  EXPECT_EQ(hmac_sha256("", "data").error().code(), Code::invalid_argument);
}

TEST(MacKey, gives_the_same_mac_again_and_again_and_after_a_move) {
  MacKey key = MacKey::open("Jefe").value();
  const std::string expected = hmac_sha256("Jefe", "data").value();
  EXPECT_EQ(view_of(key.mac({"data"})), expected);
  EXPECT_EQ(view_of(key.mac({"da", "ta"})), expected);
  MacKey moved = std::move(key);
  EXPECT_EQ(view_of(moved.mac({"data"})), expected);
  EXPECT_NE(view_of(moved.mac({"Data"})), expected);
}

TEST(Base64Url, decodes_what_it_encodes) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) {
    const std::string text = to_base64url(bytes);
    EXPECT_EQ(text.find_first_of("+/="), std::string::npos);
    EXPECT_EQ(from_base64url(text), bytes);
    bytes += static_cast<char>(255 - i);
  }
  EXPECT_EQ(to_base64url("\xfb\xff"), "-_8");
}

TEST(Base64Url, refuses_second_encodings_of_the_same_bytes) {
  EXPECT_EQ(from_base64url("-_8"), "\xfb\xff");
  for (const std::string_view text : {"-_9", "-_8=", "+/8", "-_8 ", "A", "AAAAA", "-_8\n"}) {
    EXPECT_EQ(from_base64url(text), std::nullopt) << text;
  }
}

TEST(Fields, come_back_as_they_were_written) {
  FieldWriter out;
  out.put(uint8_t{250});
  out.put(int64_t{-2});
  out.put(uint32_t{0x01020304});
  out.put_text("abc");
  const std::string bytes = out.take();
  EXPECT_EQ(to_hex(bytes), "fafeffffffffffffff0403020103616263");

  FieldReader in(bytes);
  uint8_t small = 0;
  int64_t negative = 0;
  uint32_t number = 0;
  std::string_view text;
  EXPECT_TRUE(in.get(&small) && in.get(&negative) && in.get(&number));
  EXPECT_FALSE(in.is_at_end());
  EXPECT_TRUE(in.get_text(&text));
  EXPECT_TRUE(in.is_at_end());
  EXPECT_EQ(negative, -2);
  EXPECT_EQ(number, 0x01020304u);
  EXPECT_EQ(text, "abc");
}

TEST(Fields, stay_bad_after_the_first_read_too_far) {
  FieldReader in(
      std::string_view("\x05"
                       "ab",
                       3));
  std::string_view text;
  uint8_t byte = 0;
  EXPECT_FALSE(in.get_text(&text));
  EXPECT_FALSE(in.get(&byte));
  EXPECT_FALSE(in.is_at_end());
}

}  // namespace
}  // namespace tarn::auth
