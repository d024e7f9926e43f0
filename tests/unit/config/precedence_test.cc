#include <gmock/gmock.h>

#include <random>

#include "common/base/units.h"
#include "tests/unit/config/loading.h"

// Who is heard when several speak: the flag, then the environment, then the file, then the default.
namespace tarn::config {
namespace {

using testing::HasSubstr;

Schema schema() {
  Schema schema("tarn-server", "For tests.");
  schema.add_string("listen", "default:1", "Text.");
  schema.add_bytes("dram_bytes", kGiB, "Size.", {kMiB, 1024 * kGiB});
  schema.add_uint("lanes", 2, "Number.", {1, 64});
  schema.add_bool("pin_lanes", false, "Boolean.");
  schema.add_duration_ms("lease_ms", Millis(500), "Duration.", {10, 60'000});
  schema.add_list("etcd", {"d"}, "List.");
  schema.add_enum("mode", "off", {"off", "shadow", "enforce", "both"}, "Choice.");
  return schema;
}

// One item, and how each source gives it a value of its own.
struct Row {
  std::string name;
  std::string initial, file, env, flag;  // as they are given
  std::string shows[4];                  // as TOML: initial, file, env, flag
};

const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      {"listen",
       "",
       "'file:1'",
       "env:1",
       "flag:1",
       {"\"default:1\"", "\"file:1\"", "\"env:1\"", "\"flag:1\""}},
      {"dram_bytes",
       "",
       "'2GiB'",
       "3 GiB",
       "4294967296",
       {"\"1GiB\"", "\"2GiB\"", "\"3GiB\"", "\"4GiB\""}},
      {"lanes", "", "3", "4", "5", {"2", "3", "4", "5"}},
      {"lease_ms", "", "600", "700ms", "1s", {"\"500ms\"", "\"600ms\"", "\"700ms\"", "\"1s\""}},
      {"etcd",
       "",
       "['f', 'g']",
       "e,h",
       "x",
       {"[\"d\"]", "[\"f\", \"g\"]", "[\"e\", \"h\"]", "[\"x\"]"}},
      {"mode",
       "",
       "'shadow'",
       "enforce",
       "both",
       {"\"off\"", "\"shadow\"", "\"enforce\"", "\"both\""}},
  };
  return all;
}

class Precedence : public Loading {};

TEST_F(Precedence, is_flag_then_environment_then_file_then_default_for_every_kind) {
  const Schema items = schema();
  for (const Row& row : rows()) {
    for (int said = 0; said < 8; ++said) {
      const bool in_file = (said & 1) != 0, in_env = (said & 2) != 0, by_flag = (said & 4) != 0;
      const Item& item = items.items()[*items.index_of(row.name)];
      std::vector<std::string> args = {"--config",
                                       file(in_file ? row.name + " = " + row.file + "\n" : "")};
      if (by_flag) args.insert(args.end(), {item.flag(), row.flag});
      Environment env;
      if (in_env) env[items.env_name(row.name)] = row.env;
      const auto values = load(items, args, env);
      ASSERT_TRUE(values) << values.error().message();
      const int winner = by_flag ? 3 : in_env ? 2 : in_file ? 1 : 0;
      EXPECT_EQ(shown(*values, row.name), row.shows[winner]) << row.name << " said by " << said;
      const std::string origins[] = {"the default", path() + ":1", items.env_name(row.name),
                                     item.flag()};
      EXPECT_EQ(values->origin(row.name), origins[winner]) << row.name;
    }
  }
}

TEST_F(Precedence, of_a_boolean_is_the_same_both_ways) {
  const Schema items = schema();
  for (const bool loudest : {true, false}) {
    const std::string yes = loudest ? "true" : "false", no = loudest ? "false" : "true";
    const std::string from = file("pin_lanes = " + no + "\n");
    EXPECT_EQ(load(items, {"--config", from, "--pin-lanes=" + yes})->get_bool("pin_lanes"),
              loudest);
    EXPECT_EQ(
        load(items, {"--config", from}, {{"TARN_SERVER_PIN_LANES", yes}})->get_bool("pin_lanes"),
        loudest);
    EXPECT_EQ(
        load(items, {"--pin-lanes=" + yes}, {{"TARN_SERVER_PIN_LANES", no}})->get_bool("pin_lanes"),
        loudest);
  }
}

// A list is replaced by the louder source, never joined with what a quieter one said.
TEST_F(Precedence, replaces_a_list_whole) {
  const Schema items = schema();
  const auto values = load(items, {"--config", file("etcd = ['f', 'g', 'h']\n"), "--etcd", "x"},
                           {{"TARN_SERVER_ETCD", "e"}});
  EXPECT_THAT(values->get_list("etcd"), testing::ElementsAre("x"));
  EXPECT_THAT(load(items, {"--config", file("etcd = []\n")})->get_list("etcd"), testing::IsEmpty());
  EXPECT_THAT(load(items, {}, {{"TARN_SERVER_ETCD", ""}})->get_list("etcd"), testing::IsEmpty());
}

// A quieter mistake is still a mistake: tomorrow the flag is gone.
TEST_F(Precedence, does_not_hide_a_mistake_behind_a_louder_source) {
  const Schema items = schema();
  const std::string bad_file = file("lanes = 0\n");
  EXPECT_EQ(load(items, {"--config", bad_file, "--lanes", "5"}).error().message(),
            path() + ":1: lanes = 0 is out of range (1 to 64)");
  EXPECT_EQ(load(items, {"--lanes", "5"}, {{"TARN_SERVER_LANES", "65"}}).error().message(),
            "TARN_SERVER_LANES: lanes = 65 is out of range (1 to 64)");
}

TEST_F(Precedence, of_the_environment_is_for_its_own_program_only) {
  const auto values =
      load(schema(), {}, {{"TARN_ROUTER_LANES", "5"}, {"LANES", "6"}, {"tarn_server_lanes", "7"}});
  ASSERT_TRUE(values);
  EXPECT_EQ(values->get_uint("lanes"), 2u);
  EXPECT_THAT(values->warnings(), testing::IsEmpty());
}

// Every mistake that one source can make with one item, in that source's own words.
TEST_F(Precedence, blames_the_source_that_said_it) {
  const Schema items = schema();
  const struct {
    const char *name, *bad, *in_toml, *problem;
  } mistakes[] = {
      {"dram_bytes", "lots", "'lots'",
       "dram_bytes = \"lots\" is not a size: write a whole number and B, KiB, MiB, GiB or TiB, "
       "such "
       "as 4GiB"},
      {"dram_bytes", "1B", "'1B'", "dram_bytes = 1B is out of range (1MiB to 1TiB)"},
      {"lanes", "65", "65", "lanes = 65 is out of range (1 to 64)"},
      {"lease_ms", "2", "2", "lease_ms = 2ms is out of range (10ms to 1min)"},
      {"lease_ms", "2h", "'2h'", "lease_ms = 2h is out of range (10ms to 1min)"},
      {"mode", "shadwo", "'shadwo'",
       "mode = \"shadwo\" is not one of off, shadow, enforce, both (did you mean shadow?)"},
  };
  for (const auto& mistake : mistakes) {
    const std::string name = mistake.name;
    const std::string flag = items.items()[*items.index_of(name)].flag();
    EXPECT_EQ(load(items, {flag, mistake.bad}).error(),
              invalid_argument(flag + ": " + mistake.problem));
    EXPECT_EQ(load(items, {}, {{items.env_name(name), mistake.bad}}).error(),
              invalid_argument(items.env_name(name) + ": " + mistake.problem));
    EXPECT_EQ(load(items, {"--config", file("# c\n" + name + " = " + mistake.in_toml)}).error(),
              invalid_argument(path() + ":2: " + mistake.problem));
  }
}

TEST_F(Precedence, finds_the_typo_in_every_source) {
  const Schema items = schema();
  for (const Item& item : items.items()) {
    std::string typo = item.name;
    std::swap(typo[1], typo[2]);
    std::string flag = "--" + typo;
    std::replace(flag.begin(), flag.end(), '_', '-');
    EXPECT_EQ(load(items, {flag + "=1"}).error().message(),
              flag + ": unknown flag (did you mean " + item.flag() + "?)");
    EXPECT_EQ(load(items, {"--config", file(typo + " = 1\n")}).error().message(),
              path() + ":1: unknown item " + typo + " (did you mean " + item.name + "?)");
    EXPECT_THAT(load(items, {}, {{items.env_name(typo), "1"}})->warnings(),
                testing::ElementsAre(items.env_name(typo) + ": no such variable (did you mean " +
                                     items.env_name(item.name) + "?)"));
  }
}

}  // namespace
}  // namespace tarn::config
