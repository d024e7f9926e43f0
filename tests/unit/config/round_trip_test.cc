#include <gmock/gmock.h>

#include <random>

#include "common/base/units.h"
#include "common/config/text.h"
#include "tests/unit/config/loading.h"

// What one process prints, another reads: values of every kind, whatever they hold.
namespace tarn::config {
namespace {

class RoundTrip : public Loading {
 protected:
  uint64_t below(uint64_t end) { return x_random() % end; }

  // Mostly what breaks quoting, all of it UTF-8.
  std::string text() {
    static const std::vector<std::string> kPieces = {"a",
                                                     "B",
                                                     "7",
                                                     " ",
                                                     "\"",
                                                     "'",
                                                     "\\",
                                                     "\n",
                                                     "\r",
                                                     "\t",
                                                     "\x01",
                                                     "\x7f",
                                                     "#",
                                                     "=",
                                                     "[",
                                                     "]",
                                                     "{",
                                                     "}",
                                                     ",",
                                                     "$",
                                                     "%",
                                                     "\xc3\xa9",
                                                     "\xe2\x82\xac",
                                                     "\xf0\x9f\x90\x9f",
                                                     "\\u0041",
                                                     "-"};
    std::string out = "x";
    for (uint64_t i = below(12); i > 0; --i)
      out += kPieces[below(kPieces.size())];
    return out;
  }

  uint64_t number(const Range& range) {
    const uint64_t width = range.max - range.min;
    const uint64_t spread = x_random() >> below(64);
    return range.min + (width == UINT64_MAX ? spread : spread % (width + 1));
  }

  std::mt19937_64 x_random{20261122};
};

TEST_F(RoundTrip, of_text_given_as_a_flag_and_printed_is_exact) {
  Schema items("tarn-test");
  items.add_string("word", "", "Text.");
  for (int i = 0; i < 100; ++i) {
    const std::string word = text();
    const auto given = load(items, {"--word=" + word});
    ASSERT_TRUE(given) << given.error().message();
    ASSERT_EQ(given->get_string("word"), word);
    const auto again = load(items, {"--config", file(given->to_toml())});
    ASSERT_TRUE(again) << again.error().message() << "\n" << given->to_toml();
    ASSERT_EQ(again->get_string("word"), word);
    EXPECT_EQ(load(items, {"--word", word})->get_string("word"), word);
    EXPECT_EQ(load(items, {}, {{"TARN_TEST_WORD", word}})->get_string("word"), word);
  }
}

TEST_F(RoundTrip, of_every_number_in_range_is_exact) {
  Schema items("tarn-test");
  const Range ranges[] = {{}, {1, 64}, {1000, 1'000'000}, {kMiB, 1ull << 50}, {7, 7}};
  for (size_t i = 0; i < std::size(ranges); ++i) {
    const std::string end = std::to_string(i);
    items.add_uint("number" + end, ranges[i].min, "Number.", ranges[i]);
    items.add_bytes("size" + end, ranges[i].min, "Size.", ranges[i]);
    items.add_duration_ms("time" + end, Millis(static_cast<int64_t>(ranges[i].min)), "Time.",
                          ranges[i]);
  }
  for (int round = 0; round < 20; ++round) {
    std::vector<std::string> args;
    std::vector<std::string> expected;
    for (const Item& item : items.items()) {
      const uint64_t value = round == 0   ? item.range.min
                             : round == 1 ? item.range.max
                                          : number(item.range);
      args.push_back(item.flag() + "=" + format(item, value));
      expected.push_back(item.name + " " + std::to_string(value));
    }
    const auto given = load(items, args);
    ASSERT_TRUE(given) << given.error().message();
    const auto again = load(items, {"--config", file(given->to_toml())});
    ASSERT_TRUE(again) << again.error().message();
    std::vector<std::string> got;
    for (const Item& item : items.items()) {
      const uint64_t value = item.kind == Kind::number ? again->get_uint(item.name)
                             : item.kind == Kind::bytes
                                 ? again->get_bytes(item.name)
                                 : static_cast<uint64_t>(again->get_duration_ms(item.name).count());
      got.push_back(item.name + " " + std::to_string(value));
    }
    ASSERT_EQ(got, expected) << "round " << round;
  }
}

TEST_F(RoundTrip, of_lists_booleans_and_choices_is_exact) {
  Schema items("tarn-test");
  items.add_list("words", {}, "List.");
  items.add_bool("yes", true, "Boolean.");
  items.add_enum("choice", "one two", {"one two", "\"3\"", "four"}, "Choice.");
  for (int i = 0; i < 40; ++i) {
    std::string in_toml = "words = [";
    std::vector<std::string> words(below(5));
    for (std::string& word : words) {
      word = text();
      Item as_text;
      in_toml += to_toml(as_text, word) + ", ";
    }
    const bool yes = below(2) == 0;
    const std::string choice = items.items()[2].choices[below(3)];
    const auto given = load(items, {"--config", file(in_toml + "]\n"), "--choice", choice,
                                    std::string("--yes=") + (yes ? "true" : "false")});
    ASSERT_TRUE(given) << given.error().message();
    const auto again = load(items, {"--config", file(given->to_toml())});
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(again->get_list("words"), words);
    EXPECT_EQ(again->get_bool("yes"), yes);
    EXPECT_EQ(again->get_enum("choice"), choice);
  }
}

TEST(IsUtf8, agrees_with_encoding_every_character) {
  const auto encoded = [](uint32_t c) {
    std::string out;
    const auto add = [&out](uint32_t byte) { out += static_cast<char>(byte); };
    if (c < 0x80) {
      add(c);
    } else if (c < 0x800) {
      add(0xc0 | c >> 6), add(0x80 | (c & 63));
    } else if (c < 0x10000) {
      add(0xe0 | c >> 12), add(0x80 | (c >> 6 & 63)), add(0x80 | (c & 63));
    } else {
      add(0xf0 | c >> 18), add(0x80 | (c >> 12 & 63)), add(0x80 | (c >> 6 & 63));
      add(0x80 | (c & 63));
    }
    return out;
  };
  for (uint32_t c = 0; c < 0x120000; c += c < 0x3000 ? 1 : 37) {
    const bool is_character = c < 0x110000 && (c < 0xd800 || c > 0xdfff);
    ASSERT_EQ(is_utf8(encoded(c)), is_character) << std::hex << c;
  }
  EXPECT_TRUE(is_utf8(""));
  EXPECT_FALSE(is_utf8("abc\xe2\x82"));
}

TEST(Nearest, finds_any_one_edit_and_never_a_word_of_another_length_class) {
  const std::vector<std::string> known = {"dram_bytes", "listen", "metrics_listen", "lease_ms"};
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    const std::string& meant = known[random() % known.size()];
    std::string typed = meant;
    const size_t at = random() % typed.size();
    switch (random() % 4) {
      case 0:
        typed.erase(at, 1);
        break;
      case 1:
        typed.insert(at, 1, 'q');
        break;
      case 2:
        typed[at] = 'q';
        break;
      default:
        if (at > 0) std::swap(typed[at], typed[at - 1]);
    }
    ASSERT_EQ(nearest(typed, known), meant) << typed;
  }
  EXPECT_EQ(nearest("x", known), "");
  EXPECT_EQ(nearest("bytes", known), "");
  EXPECT_EQ(nearest("lease", {}), "");
}

}  // namespace
}  // namespace tarn::config
