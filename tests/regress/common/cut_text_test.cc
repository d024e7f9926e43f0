#include <gtest/gtest.h>

#include <string>

#include "common/wire/message.h"

namespace tarn::wire {
namespace {

// A long error text was cut after 200 bytes, wherever that fell: half a character went on into
// protos, which drop or refuse a text that is not UTF-8, and to Python, which raises.
TEST(Text, is_cut_between_two_characters) {
  const std::string characters[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x9f"};
  for (const std::string& character : characters) {
    for (size_t lead = 0; lead < 4; ++lead) {
      std::string text(lead, 'x');
      while (text.size() <= kTextBytesMax)
        text += character;
      const Text cut = make_text(text);
      EXPECT_LE(cut.size(), kTextBytesMax);
      EXPECT_GT(cut.size(), kTextBytesMax - character.size());
      EXPECT_EQ((cut.size() - lead) % character.size(), 0u) << text;
      EXPECT_EQ(view(cut), text.substr(0, cut.size()));
    }
  }
}

}  // namespace
}  // namespace tarn::wire
