#include "common/config/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/units.h"
#include "common/config/text.h"
#include "common/config/values.h"

namespace tarn::config {
namespace {

Item item_of(Kind kind) {
  Item item;
  item.name = "it";
  item.kind = kind;
  return item;
}

uint64_t number_of(Kind kind, std::string_view text) {
  const Result<Value> value = parse(item_of(kind), text);
  return value ? std::get<uint64_t>(*value) : UINT64_MAX;
}

TEST(Schema, spells_the_names_of_an_item) {
  Schema schema("tarn-server");
  schema.add_bytes("dram_bytes", kGiB, "Memory.");
  EXPECT_EQ(schema.items()[0].flag(), "--dram-bytes");
  EXPECT_EQ(schema.env_name("dram_bytes"), "TARN_SERVER_DRAM_BYTES");
  EXPECT_EQ(schema.index_of("dram_bytes"), 0u);
  EXPECT_EQ(schema.index_of("dram"), std::nullopt);
}

TEST(Schema, documents_all_items_in_a_table) {
  Schema schema("tarn-server");
  schema.add_uint("lanes", 2, "Threads | lanes.", {1, 64});
  schema.add_enum("mode", "a", {"a", "b"}, "How.");
  schema.add_duration_ms("wait_ms", Millis(90'000), "How long.", {1, INT64_MAX});
  schema.add_list("peers", {"x"}, "Who.");
  EXPECT_EQ(schema.to_markdown(),
            "| item | default | allowed | meaning |\n"
            "|---|---|---|---|\n"
            "| `lanes` | `2` | 1 to 64 | Threads \\| lanes. |\n"
            "| `mode` | `\"a\"` | a or b | How. |\n"
            "| `wait_ms` | `\"90s\"` | at least 1ms | How long. |\n"
            "| `peers` | `[\"x\"]` |  | Who. |\n");
}

TEST(SchemaDeathTest, checks_the_program_that_declares_it) {
  Schema schema("tarn-server");
  schema.add_uint("lanes", 2, "Threads.");
  EXPECT_DEATH(schema.add_uint("lanes", 2, "Again."), "check failed");
  EXPECT_DEATH(schema.add_uint("Lanes", 2, "Not snake_case."), "check failed");
  EXPECT_DEATH(schema.add_uint("print_config", 2, "Ours."), "check failed");
  EXPECT_DEATH(schema.add_uint("silent", 2, ""), "check failed");
  EXPECT_DEATH(schema.add_uint("narrow", 2, "Out of range.", {3, 4}), "check failed");
  EXPECT_DEATH(schema.add_enum("word", "c", {"a", "b"}, "No such word."), "check failed");
  EXPECT_DEATH(schema.add_duration_ms("past_ms", Millis(-1), "Negative."), "check failed");
  EXPECT_DEATH(Schema("Tarn Server"), "check failed");
}

TEST(ValuesDeathTest, checks_the_program_that_reads_it) {
  Schema schema("tarn-server");
  schema.add_uint("lanes", 2, "Threads.");
  const Values values(schema);
  EXPECT_EQ(values.get_uint("lanes"), 2u);
  EXPECT_DEATH((void)values.get_uint("lane"), "check failed");
  EXPECT_DEATH((void)values.get_bytes("lanes"), "check failed");
}

TEST(Text, reads_sizes) {
  EXPECT_EQ(number_of(Kind::bytes, "0"), 0u);
  EXPECT_EQ(number_of(Kind::bytes, "7B"), 7u);
  EXPECT_EQ(number_of(Kind::bytes, "3KiB"), 3 * kKiB);
  EXPECT_EQ(number_of(Kind::bytes, "3 MiB"), 3 * kMiB);
  EXPECT_EQ(number_of(Kind::bytes, "2TiB"), 2048 * kGiB);
  for (const char* bad : {"", " ", "GiB", "-1", "+1", "1.5GiB", "4GB", "4gib", "4G", "4GiBs",
                          "0x10", "18446744073709551616", "99999999999TiB"}) {
    EXPECT_EQ(number_of(Kind::bytes, bad), UINT64_MAX) << bad;
  }
}

TEST(Text, reads_durations) {
  EXPECT_EQ(number_of(Kind::duration, "200ms"), 200u);
  EXPECT_EQ(number_of(Kind::duration, "2s"), 2000u);
  EXPECT_EQ(number_of(Kind::duration, "5min"), 300'000u);
  EXPECT_EQ(number_of(Kind::duration, "1h"), 3'600'000u);
  EXPECT_EQ(number_of(Kind::duration, "15"), 15u);
  for (const char* bad : {"", "ms", "1us", "1.5s", "-1s", "1m", "99999999999999999999ms"}) {
    EXPECT_EQ(number_of(Kind::duration, bad), UINT64_MAX) << bad;
  }
}

TEST(Text, writes_numbers_so_that_they_read_back) {
  for (const uint64_t number : {0ull, 1ull, 999ull, 1000ull, 1024ull, 61'000ull, 3'600'000ull,
                                1ull << 40, (1ull << 40) + 1, 9223372036854775807ull}) {
    for (const Kind kind : {Kind::bytes, Kind::duration, Kind::number}) {
      EXPECT_EQ(number_of(kind, format(item_of(kind), number)), number);
    }
  }
}

TEST(Text, finds_the_nearest_word) {
  const std::vector<std::string> known = {"listen", "lanes", "dram_bytes", "flash_bytes"};
  EXPECT_EQ(nearest("lane", known), "lanes");
  EXPECT_EQ(nearest("lsiten", known), "listen");
  EXPECT_EQ(nearest("dram-bytes", known), "dram_bytes");
  EXPECT_EQ(nearest("flashbytes", known), "flash_bytes");
  EXPECT_EQ(nearest("zebra", known), "");
  EXPECT_EQ(nearest("", known), "");
  EXPECT_EQ(nearest(std::string(100'000, 'x'), known), "");
}

}  // namespace
}  // namespace tarn::config
