#include "cli/json.h"

#include <gtest/gtest.h>

namespace tarn::cli {
namespace {

TEST(JsonText, keeps_the_order_of_keys) {
  const Json json = Json::object()
                        .set("z", 1)
                        .set("a", Json::array().add(true).add(-2).add(Json()))
                        .set("empty", Json::array())
                        .set("inner", Json::object().set("x", "y"));
  EXPECT_EQ(json.text(),
            "{\n  \"z\": 1,\n  \"a\": [\n    true,\n    -2,\n    null\n  ],\n  \"empty\": [],\n"
            "  \"inner\": {\n    \"x\": \"y\"\n  }\n}");
}

TEST(JsonText, writes_numbers_in_full) {
  EXPECT_EQ(Json(UINT64_MAX).text(), "18446744073709551615");
  EXPECT_EQ(Json(INT64_MIN).text(), "-9223372036854775808");
  EXPECT_EQ(Json(1.5).text(), "1.5");
  EXPECT_EQ(Json(1.0 / 0.0).text(), "null");
  EXPECT_EQ(Json(false).text(), "false");
}

TEST(JsonText, is_valid_whatever_the_bytes) {
  EXPECT_EQ(json_string("a\"b\\c\n\t\x01"), "\"a\\\"b\\\\c\\n\\u0009\\u0001\"");
  EXPECT_EQ(json_string("h\xc3\xa4ns"), "\"h\xc3\xa4ns\"");
  EXPECT_EQ(json_string("\xff"
                        "a\xc3"),
            "\"\xef\xbf\xbd"
            "a\xef\xbf\xbd\"");
  EXPECT_EQ(json_string("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
}

TEST(JsonText, makes_arrays_of_words) {
  EXPECT_EQ(Json::array_of({"a", "b"}).text(), "[\n  \"a\",\n  \"b\"\n]");
}

}  // namespace
}  // namespace tarn::cli
