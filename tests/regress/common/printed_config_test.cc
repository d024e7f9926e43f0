#include <gtest/gtest.h>

#include "tests/unit/config/loading.h"

namespace tarn::config {
namespace {

class PrintedConfig : public Loading {};

// A flag with bytes that no TOML file can hold was printed as it was: --print-config made a file
// which no program could read.
TEST_F(PrintedConfig, is_kept_readable_by_refusing_text_that_is_not_utf8) {
  Schema items("tarn-test");
  items.add_string("word", "", "Text.");
  items.add_list("words", {}, "List.");
  for (const std::string bad : {"\xff", "a\x80", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xe2\x82",
                                "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80"}) {
    EXPECT_EQ(load(items, {"--word=" + bad}).error(),
              invalid_argument("--word: word is not written in UTF-8"));
    EXPECT_EQ(load(items, {}, {{"TARN_TEST_WORDS", "a," + bad}}).error(),
              invalid_argument("TARN_TEST_WORDS: words is not written in UTF-8"));
    EXPECT_FALSE(load(items, {"--config", file("word = '" + bad + "'\n")}).has_value());
  }
  for (const std::string good : {"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                                 "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(load(items, {"--word=" + good})->get_string("word"), good);
  }
}

// The path of a file stands in a comment behind "Set by": with a line break, or a byte that is no
// UTF-8, in the name of its folder, what was printed could not be read back.
TEST_F(PrintedConfig, survives_a_file_whose_name_no_comment_can_hold) {
  Schema items("tarn-test");
  items.add_uint("lanes", 1, "Number.");
  const std::string from = file("lanes = 7\n");
  for (const std::string odd : {"new\nlanes = 9\nline", "bell\a", "return\r", "latin1 \xe9"}) {
    const std::string other = from + odd;
    std::filesystem::copy_file(from, other);
    const auto values = load(items, {"--config", other});
    ASSERT_TRUE(values) << values.error().message();
    const auto again = load(items, {"--config", file(values->to_toml())});
    ASSERT_TRUE(again) << again.error().message() << values->to_toml();
    EXPECT_EQ(again->get_uint("lanes"), 7u);
    file("lanes = 7\n");
    std::filesystem::remove(other);
  }
}

}  // namespace
}  // namespace tarn::config
