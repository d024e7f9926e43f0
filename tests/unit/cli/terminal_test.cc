#include "cli/terminal.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/text.h"
#include "common/base/ids.h"

namespace tarn::cli {
namespace {

using testing::HasSubstr;

struct Screen {
  std::ostringstream out;
  std::ostringstream err;
  Terminal terminal{out, err};
};

TEST(Terminal, says_every_error_once_on_stderr_and_leaves_with_what_to_do) {
  struct Case {
    Status status;
    int exit;
  };
  const std::vector<Case> cases = {
      {not_found("a"), kExitNotSo},        {already_exists("b"), kExitNotSo},
      {conflict("c"), kExitNotSo},         {invalid_argument("d"), kExitUsage},
      {unsupported("e"), kExitUsage},      {unavailable("f"), kExitUnavailable},
      {overloaded("g"), kExitUnavailable}, {deadline_exceeded("h"), kExitUnavailable},
      {cancelled("i"), kExitUnavailable},  {stale_epoch("j"), kExitUnavailable},
      {unauthenticated("k"), kExitDenied}, {permission_denied("l"), kExitDenied},
      {corrupt("m"), kExitBroken},         {internal_error("n"), kExitBroken},
  };
  for (const Case& one : cases) {
    Screen screen;
    EXPECT_EQ(report(screen.terminal, one.status), one.exit) << one.status.to_string();
    EXPECT_EQ(screen.err.str(), "tarn: " + one.status.message() + "\n");
    EXPECT_EQ(screen.out.str(), "");
  }
  Screen screen;
  EXPECT_EQ(report(screen.terminal, Status::ok()), kExitOk);
  EXPECT_EQ(screen.err.str(), "");
}

TEST(Terminal, every_code_has_an_exit_status_of_the_documented_six) {
  for (int number = 0; number < kCodeCount; ++number) {
    const int exit = exit_code(static_cast<Code>(number));
    EXPECT_GE(exit, kExitOk) << number;
    EXPECT_LE(exit, kExitBroken) << number;
  }
}

TEST(Terminal, an_error_after_the_answer_adds_nothing_to_the_json) {
  Screen screen;
  screen.terminal.is_json = true;
  screen.terminal.answer(Json::object().set("matched", 0), "ignored");
  EXPECT_EQ(report(screen.terminal, not_found("nothing")), kExitNotSo);
  EXPECT_EQ(screen.out.str(), "{\n  \"matched\": 0\n}\n");
}

TEST(Terminal, an_error_instead_of_an_answer_is_one_json_value) {
  Screen screen;
  screen.terminal.is_json = true;
  report(screen.terminal, unavailable("a \"quoted\"\nline"));
  EXPECT_EQ(screen.out.str(),
            "{\n  \"error\": \"a \\\"quoted\\\"\\nline\",\n  \"code\": \"unavailable\"\n}\n");
}

TEST(TableText, columns_line_up_whatever_the_cells) {
  Table table({"A", "LONGER TITLE", "C"});
  table.add({"a long cell", "", "x"});
  table.add({"", "b", ""});
  table.add({"", "", ""});
  const std::string text = table.text();
  EXPECT_EQ(text,
            "A            LONGER TITLE  C\n"
            "a long cell                x\n"
            "             b\n"
            "\n");
  EXPECT_EQ(text.find(" \n"), std::string::npos) << "no line ends in a space";
}

// Each unit's last value below the next one, and the first of the next.
TEST(Format, sizes_and_durations_change_units_where_they_should) {
  struct Case {
    uint64_t value;
    const char* bytes;
    const char* duration;
  };
  const std::vector<Case> cases = {
      {999, "999 B", "999 ms"},      {1000, "1000 B", "1 s"},
      {1024, "1 KiB", "1.0 s"},      {119'999, "117 KiB", "120 s"},
      {120'000, "117 KiB", "2 min"}, {7'199'999, "6.9 MiB", "120 min"},
      {7'200'000, "6.9 MiB", "2 h"}, {172'800'000, "165 MiB", "2 d"},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(format_bytes(one.value), one.bytes);
    EXPECT_EQ(format_duration(static_cast<int64_t>(one.value)), one.duration) << one.value;
  }
}

TEST(Parse, a_time_to_live_is_taken_at_its_limits_and_not_beyond) {
  constexpr int64_t kDay = 86'400'000;
  EXPECT_EQ(parse_ttl("--ttl", "1s", 365).value(), 1000);
  EXPECT_EQ(parse_ttl("--ttl", "1000ms", 365).value(), 1000);
  EXPECT_EQ(parse_ttl("--ttl", "365d", 365).value(), 365 * kDay);
  EXPECT_EQ(parse_ttl("--ttl", "8760h", 365).value(), 365 * kDay);
  EXPECT_EQ(parse_ttl("--ttl", "1d", 1).value(), kDay);
  for (const char* text : {"999ms", "8761h", "366d", "0d", "0s"}) {
    EXPECT_THAT(parse_ttl("--ttl", text, 365).error().message(),
                HasSubstr("is not between 1s and 365d"))
        << text;
  }
  for (const char* text : {"1", "1 d", "d1", "+1d", "1D", "0x1d", "1d1d"}) {
    EXPECT_EQ(parse_ttl("--ttl", text, 365).error().code(), Code::invalid_argument) << text;
  }
}

TEST(Parse, a_port_is_taken_at_its_limits_and_names_the_flag_beyond) {
  EXPECT_EQ(parse_host_port("--listen", ":0")->port, 0);
  EXPECT_EQ(parse_host_port("--listen", "a:65535")->port, 65535);
  EXPECT_EQ(parse_host_port("--listen", "[fe80::1]:1")->host, "fe80::1");
  for (const char* text : {"a:65536", "a:-1", "a: 1", "a:1 ", "a:+1", "a:0x1", "a:99999999999"}) {
    const auto parsed = parse_host_port("--listen", text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_THAT(parsed.error().message(), HasSubstr("--listen = ")) << text;
  }
}

TEST(Hex, every_byte_goes_both_ways_and_every_length_has_its_verdict) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string one(1, static_cast<char>(byte));
    EXPECT_EQ(hash_from_hex(tarn::to_hex(one)).value(), one);
  }
  for (size_t digits = 0; digits <= 70; ++digits) {
    const bool is_good = digits > 0 && digits % 2 == 0 && digits <= 64;
    EXPECT_EQ(hash_from_hex(std::string(digits, 'a')).has_value(), is_good) << digits;
  }
  for (const char c : {'g', 'G', '/', ':', '@', '`', ' ', '\0'}) {
    EXPECT_FALSE(hash_from_hex(std::string("a") + c).has_value()) << int{c};
  }
}

}  // namespace
}  // namespace tarn::cli
