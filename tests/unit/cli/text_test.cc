#include "cli/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tarn::cli {
namespace {

using testing::HasSubstr;

TEST(TableText, makes_columns_as_wide_as_their_widest_cell) {
  Table table({"name", "state"});
  EXPECT_TRUE(table.is_empty());
  table.add({"server-1", "up"});
  table.add({"s", ""});
  EXPECT_FALSE(table.is_empty());
  EXPECT_EQ(table.text(), "name      state\nserver-1  up\ns\n");
}

TEST(Format, sizes_are_read_at_a_glance) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(uint64_t{1} << 30), "1 GiB");
  EXPECT_EQ(format_bytes(UINT64_MAX), "16777216 TiB");
}

TEST(Format, durations_are_read_at_a_glance) {
  EXPECT_EQ(format_duration(20), "20 ms");
  EXPECT_EQ(format_duration(1500), "1.5 s");
  EXPECT_EQ(format_duration(3'600'000), "60 min");
  EXPECT_EQ(format_duration(24 * 3'600'000), "24 h");
  EXPECT_EQ(format_duration(int64_t{30} * 24 * 3'600'000), "30 d");
}

TEST(Parse, sizes_are_those_of_config_files) {
  EXPECT_EQ(parse_bytes("--dram-bytes", "4GiB").value(), uint64_t{4} << 30);
  EXPECT_THAT(parse_bytes("--dram-bytes", "4GB").error().message(),
              HasSubstr("--dram-bytes = \"4GB\" is not a size"));
}

TEST(Parse, times_to_live_may_be_days) {
  EXPECT_EQ(parse_ttl("--ttl", "1h", 365).value(), 3'600'000);
  EXPECT_EQ(parse_ttl("--ttl", "30d", 365).value(), int64_t{30} * 86'400'000);
  for (const char* text : {"", "d", "-1d", "1.5h", "soon", "99999999999999999999d"}) {
    EXPECT_EQ(parse_ttl("--ttl", text, 365).error().code(), Code::invalid_argument) << text;
  }
  EXPECT_THAT(parse_ttl("--ttl", "366d", 365).error().message(),
              HasSubstr("--ttl = \"366d\" is not between 1s and 365d"));
  EXPECT_FALSE(parse_ttl("--ttl", "20ms", 365));
}

TEST(Parse, addresses_have_a_port) {
  const HostPort v4 = parse_host_port("--listen", "127.0.0.1:7420").value();
  EXPECT_EQ(v4.host, "127.0.0.1");
  EXPECT_EQ(v4.port, 7420);
  EXPECT_EQ(parse_host_port("--listen", "[::1]:80")->host, "::1");
  for (const char* text : {"", "host", "host:", "host:x", "host:65536", "host:80x"}) {
    EXPECT_THAT(parse_host_port("--listen", text).error().message(), HasSubstr("--listen"));
  }
}

TEST(Hex, of_a_block_hash_is_read_strictly) {
  EXPECT_EQ(hash_from_hex("00fF10").value(), std::string("\x00\xff\x10", 3));
  for (const std::string& text :
       {std::string(), std::string("0"), std::string("zz"), std::string(66, '0')}) {
    EXPECT_EQ(hash_from_hex(text).error().code(), Code::invalid_argument) << text;
  }
  EXPECT_EQ(hash_from_hex(std::string(64, 'a'))->size(), 32u);
}

}  // namespace
}  // namespace tarn::cli
