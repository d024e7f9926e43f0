#include "common/config/load.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "common/base/fault_point.h"
#include "common/base/units.h"

namespace tarn::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Schema server_schema() {
  Schema schema("tarn-server", "Holds blocks in dram and flash.");
  schema.add_string("listen", "127.0.0.1:0", "HOST:PORT of the gRPC control endpoint.");
  schema.add_bytes("dram_bytes", kGiB, "Memory for blocks.", {kMiB, 1024 * kGiB});
  schema.add_bytes("flash_bytes", 0, "Room on NVMe.");
  schema.add_uint("lanes", 2, "Data path threads.", {1, 64});
  schema.add_bool("pin_lanes", false, "Bind each lane to a core.");
  schema.add_duration_ms("lease_ms", Millis(500), "Length of a lease.", {10, 60'000});
  schema.add_list("etcd", {}, "Endpoints of etcd.");
  schema.add_enum("mode", "shadow", {"shadow", "enforce"}, "Admission to flash.");
  return schema;
}

// A folder that holds one configuration file for the length of a test.
class Load : public testing::Test {
 protected:
  Load() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    x_folder = std::filesystem::temp_directory_path() /
               ("tarn_config_" + std::to_string(::getpid()) + "_" + info->name());
    std::filesystem::create_directories(x_folder);
  }
  ~Load() override {
    fault::disarm_all();
    std::filesystem::remove_all(x_folder);
  }

  std::string path() const { return (x_folder / "server.toml").string(); }

  std::string file(const std::string& text) {
    std::ofstream(path()) << text;
    return path();
  }

  Result<Values> load(std::vector<std::string> args, const Environment& env = {}) {
    std::vector<const char*> argv = {"tarn-server"};
    for (const std::string& arg : args)
      argv.push_back(arg.c_str());
    return config::load(server_schema(), static_cast<int>(argv.size()), argv.data(), env);
  }

  // The message of a load that must be refused.
  std::string refusal(std::vector<std::string> args, const Environment& env = {}) {
    const Result<Values> values = load(std::move(args), env);
    if (values) return "loaded";
    EXPECT_EQ(values.error().code(), Code::invalid_argument);
    return values.error().message();
  }

  // The same for a file with this text; what names the folder is cut off.
  std::string file_refusal(const std::string& text) {
    std::string message = refusal({"--config", file(text)});
    const std::string folder = x_folder.string() + "/";
    if (message.rfind(folder, 0) == 0) message.erase(0, folder.size());
    return message;
  }

 private:
  std::filesystem::path x_folder;
};

TEST_F(Load, gives_the_defaults_when_nobody_says_otherwise) {
  const auto values = load({});
  ASSERT_TRUE(values) << values.error().message();
  EXPECT_EQ(values->get_string("listen"), "127.0.0.1:0");
  EXPECT_EQ(values->get_bytes("dram_bytes"), kGiB);
  EXPECT_EQ(values->get_uint("lanes"), 2u);
  EXPECT_FALSE(values->get_bool("pin_lanes"));
  EXPECT_EQ(values->get_duration_ms("lease_ms"), Millis(500));
  EXPECT_THAT(values->get_list("etcd"), IsEmpty());
  EXPECT_EQ(values->get_enum("mode"), "shadow");
  EXPECT_EQ(values->origin("mode"), "the default");
  EXPECT_EQ(values->output(), "");
  EXPECT_THAT(values->warnings(), IsEmpty());
}

TEST_F(Load, reads_every_kind_from_flags) {
  const auto values =
      load({"--listen", "0.0.0.0:7070", "--dram-bytes=4GiB", "--lanes", "8", "--pin-lanes",
            "--lease-ms", "2s", "--etcd", "a:1,b:2", "--etcd", "[::1]", "--mode", "enforce"});
  ASSERT_TRUE(values) << values.error().message();
  EXPECT_EQ(values->get_string("listen"), "0.0.0.0:7070");
  EXPECT_EQ(values->get_bytes("dram_bytes"), 4 * kGiB);
  EXPECT_EQ(values->get_uint("lanes"), 8u);
  EXPECT_TRUE(values->get_bool("pin_lanes"));
  EXPECT_EQ(values->get_duration_ms("lease_ms"), Millis(2000));
  EXPECT_THAT(values->get_list("etcd"), ElementsAre("a:1", "b:2", "[::1]"));
  EXPECT_EQ(values->get_enum("mode"), "enforce");
  EXPECT_EQ(values->origin("lanes"), "--lanes");
}

TEST_F(Load, reads_every_kind_from_the_environment) {
  const auto values = load({}, {{"TARN_SERVER_LISTEN", ""},
                                {"TARN_SERVER_DRAM_BYTES", "512 MiB"},
                                {"TARN_SERVER_LANES", "3"},
                                {"TARN_SERVER_PIN_LANES", "true"},
                                {"TARN_SERVER_LEASE_MS", "200"},
                                {"TARN_SERVER_ETCD", "a:1,,b:2,"},
                                {"TARN_SERVER_MODE", "enforce"}});
  ASSERT_TRUE(values) << values.error().message();
  EXPECT_EQ(values->get_string("listen"), "");
  EXPECT_EQ(values->get_bytes("dram_bytes"), 512 * kMiB);
  EXPECT_EQ(values->get_uint("lanes"), 3u);
  EXPECT_TRUE(values->get_bool("pin_lanes"));
  EXPECT_EQ(values->get_duration_ms("lease_ms"), Millis(200));
  EXPECT_THAT(values->get_list("etcd"), ElementsAre("a:1", "b:2"));
  EXPECT_EQ(values->get_enum("mode"), "enforce");
  EXPECT_EQ(values->origin("lanes"), "TARN_SERVER_LANES");
}

TEST_F(Load, reads_every_kind_from_the_file) {
  const auto values = load({"--config", file("# a comment\n"
                                             "listen = 'x:1'\n"
                                             "dram_bytes = \"4GiB\"\n"
                                             "flash_bytes = 4096\n"
                                             "lanes = 8\n"
                                             "pin_lanes = true\n"
                                             "lease_ms = \"1min\"\n"
                                             "etcd = [\"a:1\", \"b,2\"]\n"
                                             "mode = \"enforce\"\n")});
  ASSERT_TRUE(values) << values.error().message();
  EXPECT_EQ(values->get_string("listen"), "x:1");
  EXPECT_EQ(values->get_bytes("dram_bytes"), 4 * kGiB);
  EXPECT_EQ(values->get_bytes("flash_bytes"), 4096u);
  EXPECT_EQ(values->get_uint("lanes"), 8u);
  EXPECT_TRUE(values->get_bool("pin_lanes"));
  EXPECT_EQ(values->get_duration_ms("lease_ms"), Millis(60'000));
  EXPECT_THAT(values->get_list("etcd"), ElementsAre("a:1", "b,2"));
  EXPECT_EQ(values->get_enum("mode"), "enforce");
  EXPECT_EQ(values->origin("lanes"), path() + ":5");
}

TEST_F(Load, prefers_flag_to_environment_to_file_to_default) {
  file("lanes = 3\nlisten = 'file'\nmode = 'enforce'\n");
  const auto values = load({"--lanes", "5"}, {{"TARN_SERVER_CONFIG", path()},
                                              {"TARN_SERVER_LANES", "4"},
                                              {"TARN_SERVER_LISTEN", "environment"}});
  ASSERT_TRUE(values) << values.error().message();
  EXPECT_EQ(values->get_uint("lanes"), 5u);
  EXPECT_EQ(values->get_string("listen"), "environment");
  EXPECT_EQ(values->get_enum("mode"), "enforce");
  EXPECT_EQ(values->get_bytes("dram_bytes"), kGiB);
}

TEST_F(Load, prefers_the_file_of_the_flag_to_that_of_the_environment) {
  file("lanes = 3\n");
  const auto values = load({"--config", path()}, {{"TARN_SERVER_CONFIG", "/nowhere"}});
  ASSERT_TRUE(values) << values.error().message();
  EXPECT_EQ(values->get_uint("lanes"), 3u);
}

TEST_F(Load, a_flag_can_say_false_against_the_file) {
  file("pin_lanes = true\n");
  EXPECT_FALSE(load({"--config", path(), "--pin-lanes=false"})->get_bool("pin_lanes"));
}

TEST_F(Load, reads_the_forms_of_a_flag) {
  EXPECT_EQ(refusal({"--listen="}), "--listen: 1 required TEXT missing");
  EXPECT_EQ(load({"--listen", ""})->get_string("listen"), "");
  EXPECT_EQ(load({"--listen=--x=[y]"})->get_string("listen"), "--x=[y]");
  EXPECT_TRUE(load({"--pin-lanes=true"})->get_bool("pin_lanes"));
  EXPECT_EQ(refusal({"--pin-lanes=maybe"}),
            "--pin-lanes: pin_lanes = \"maybe\" is neither true nor false");
  EXPECT_EQ(refusal({"--pin-lanes", "false"}),
            "unexpected argument \"false\": values follow their flag, as in --item value or "
            "--item=true");
}

TEST_F(Load, names_an_unknown_item_of_the_file_and_the_nearest) {
  EXPECT_EQ(file_refusal("lanes = 2\ndram_byte = 5\n"),
            "server.toml:2: unknown item dram_byte (did you mean dram_bytes?)");
  EXPECT_EQ(file_refusal("gpu_model = 'H200'\n"),
            "server.toml:1: unknown item gpu_model (see tarn-server --help)");
  EXPECT_EQ(file_refusal("[flash]\nbytes = 1\n"),
            "server.toml:1: unknown item flash (see tarn-server --help)");
}

TEST_F(Load, reports_the_first_bad_line_of_the_file) {
  EXPECT_EQ(file_refusal("mod = 'enforce'\nlanes = 0\n"),
            "server.toml:1: unknown item mod (did you mean mode?)");
}

TEST_F(Load, refuses_a_value_of_another_type) {
  EXPECT_EQ(file_refusal("lanes = '2'"),
            "server.toml:1: lanes is a string, must be a whole number");
  EXPECT_EQ(file_refusal("lanes = 2.5"),
            "server.toml:1: lanes is a number with a fraction, must be a whole number");
  EXPECT_EQ(file_refusal("listen = 80"), "server.toml:1: listen is an integer, must be a string");
  EXPECT_EQ(file_refusal("pin_lanes = 'yes'"),
            "server.toml:1: pin_lanes is a string, must be true or false");
  EXPECT_EQ(file_refusal("etcd = 'a:1'"),
            "server.toml:1: etcd is a string, must be an array of strings");
  EXPECT_EQ(file_refusal("etcd = ['a:1', 2]"),
            "server.toml:1: etcd holds an integer, must be an array of strings");
  EXPECT_EQ(file_refusal("mode = true"),
            "server.toml:1: mode is a boolean, must be one of its words as a string");
  EXPECT_EQ(file_refusal("dram_bytes = []"),
            "server.toml:1: dram_bytes is an array, must be a size, such as \"4GiB\"");
  EXPECT_EQ(file_refusal("[lease_ms]\nx = 1"),
            "server.toml:1: lease_ms is a table, must be a duration, such as \"200ms\"");
  EXPECT_EQ(file_refusal("listen = 1979-05-27"),
            "server.toml:1: listen is a date or time, must be a string");
}

TEST_F(Load, refuses_a_value_out_of_range_and_names_the_range) {
  EXPECT_EQ(file_refusal("\nlanes = 500"), "server.toml:2: lanes = 500 is out of range (1 to 64)");
  EXPECT_EQ(file_refusal("dram_bytes = 1023"),
            "server.toml:1: dram_bytes = 1023B is out of range (1MiB to 1TiB)");
  EXPECT_EQ(file_refusal("lanes = -1"), "server.toml:1: lanes = -1 is negative");
  EXPECT_EQ(refusal({"--lanes", "0"}), "--lanes: lanes = 0 is out of range (1 to 64)");
  EXPECT_EQ(refusal({}, {{"TARN_SERVER_LEASE_MS", "5ms"}}),
            "TARN_SERVER_LEASE_MS: lease_ms = 5ms is out of range (10ms to 1min)");
  EXPECT_EQ(refusal({"--flash-bytes", "9223372036854775808"}),
            "--flash-bytes: flash_bytes = 8388608TiB is out of range "
            "(at most 9223372036854775807B)");
}

TEST_F(Load, refuses_a_value_that_it_cannot_read) {
  EXPECT_EQ(refusal({"--dram-bytes", "4GB"}),
            "--dram-bytes: dram_bytes = \"4GB\" is not a size: write a whole number and B, KiB, "
            "MiB, GiB or TiB, such as 4GiB");
  EXPECT_EQ(refusal({}, {{"TARN_SERVER_LEASE_MS", "2 seconds"}}),
            "TARN_SERVER_LEASE_MS: lease_ms = \"2 seconds\" is not a duration: write a whole "
            "number and ms, s, min or h, such as 200ms");
  EXPECT_EQ(refusal({"--lanes", "many"}), "--lanes: lanes = \"many\" is not a whole number from 0");
  EXPECT_EQ(refusal({"--lanes", "-1"}), "--lanes: lanes = \"-1\" is not a whole number from 0");
  EXPECT_EQ(refusal({}, {{"TARN_SERVER_PIN_LANES", "yes"}}),
            "TARN_SERVER_PIN_LANES: pin_lanes = \"yes\" is neither true nor false");
  EXPECT_EQ(refusal({"--mode", "enforced"}),
            "--mode: mode = \"enforced\" is not one of shadow, enforce (did you mean enforce?)");
  EXPECT_EQ(file_refusal("mode = 'off'"),
            "server.toml:1: mode = \"off\" is not one of shadow, enforce");
}

TEST_F(Load, names_an_unknown_flag_and_the_nearest) {
  EXPECT_EQ(refusal({"--dram-byte", "4GiB"}),
            "--dram-byte: unknown flag (did you mean --dram-bytes?)");
  EXPECT_EQ(refusal({"--dram_bytes=4GiB"}),
            "--dram_bytes: unknown flag (did you mean --dram-bytes?)");
  EXPECT_EQ(refusal({"--print-confg"}),
            "--print-confg: unknown flag (did you mean --print-config?)");
  EXPECT_EQ(refusal({"--gpu-model", "x"}), "--gpu-model: unknown flag (see tarn-server --help)");
  EXPECT_EQ(refusal({"-x"}), "-x: unknown flag (see tarn-server --help)");
}

TEST_F(Load, refuses_misplaced_arguments) {
  EXPECT_EQ(refusal({"start"}),
            "unexpected argument \"start\": values follow their flag, as in --item value or "
            "--item=true");
  EXPECT_EQ(refusal({"--lanes", "2", "3"}),
            "unexpected argument \"3\": values follow their flag, as in --item value or "
            "--item=true");
  EXPECT_EQ(refusal({"--lanes", "2", "--lanes", "3"}), "--lanes: given 2 times, may be given once");
  EXPECT_EQ(refusal({"--lanes"}), "--lanes: 1 required N missing");
  EXPECT_EQ(refusal({"--listen", "--pin-lanes"}),
            "--listen: its value is missing (--pin-lanes is a flag)");
  EXPECT_EQ(refusal({"--config", ""}), "--config: names no file");
}

TEST_F(Load, refuses_a_file_that_it_cannot_read) {
  EXPECT_EQ(refusal({"--config", "/nowhere/server.toml"}),
            "/nowhere/server.toml: cannot read the configuration file: No such file or directory");
  EXPECT_EQ(refusal({}, {{"TARN_SERVER_CONFIG", "/"}}),
            "/: cannot read the configuration file: Is a directory");
  EXPECT_EQ(file_refusal(std::string(2 << 20, '#')),
            "server.toml: larger than 1MiB: this is not a configuration file");
  fault::arm("config.read", {});
  EXPECT_EQ(file_refusal("lanes = 2\n"),
            "server.toml: cannot read the configuration file: Input/output error");
}

TEST_F(Load, names_the_line_of_a_file_that_is_no_toml) {
  EXPECT_THAT(file_refusal("lanes = 2\nlisten = [\n"), HasSubstr("server.toml:"));
  EXPECT_THAT(file_refusal("lanes = 2\nlanes = 3\n"), HasSubstr("server.toml:2: "));
  EXPECT_THAT(file_refusal("lanes\n"), HasSubstr("server.toml:1: "));
  EXPECT_THAT(file_refusal(std::string("\xff\xfe\x00 = \x01", 7)), HasSubstr("server.toml:1: "));
}

TEST_F(Load, warns_of_a_variable_that_is_nearly_an_item) {
  const auto values = load({}, {{"TARN_SERVER_LANE", "2"},
                                {"TARN_SERVER_MODE", "shadow"},
                                {"TARN_SERVER_PORT_8080_TCP_ADDR", "10.0.0.1"},
                                {"TARN_ROUTER_LANE", "2"}});
  ASSERT_TRUE(values) << values.error().message();
  EXPECT_THAT(values->warnings(), ElementsAre("TARN_SERVER_LANE: no such variable (did you mean "
                                              "TARN_SERVER_LANES?)"));
}

TEST_F(Load, prints_help_and_version_whatever_else_is_said) {
  const auto help = load({"--help", "--nonsense"});
  ASSERT_TRUE(help) << help.error().message();
  EXPECT_THAT(help->output(), HasSubstr("Holds blocks in dram and flash."));
  EXPECT_THAT(help->output(), HasSubstr("--dram-bytes SIZE"));
  EXPECT_THAT(help->output(), HasSubstr("Memory for blocks. (default 1GiB; 1MiB to 1TiB)"));
  EXPECT_THAT(help->output(), HasSubstr("--mode shadow|enforce"));
  EXPECT_THAT(help->output(), HasSubstr("TARN_SERVER_DRAM_BYTES"));
  EXPECT_EQ(load({"--version"})->output(), "tarn-server " + std::string(version()) + "\n");
}

TEST_F(Load, prints_the_configuration_in_effect_with_docs_and_origins) {
  const auto values = load({"--print-config", "--lanes", "5"}, {{"TARN_SERVER_MODE", "enforce"}});
  ASSERT_TRUE(values) << values.error().message();
  EXPECT_THAT(values->output(), HasSubstr("# Data path threads.\n"
                                          "# Allowed: 1 to 64. Default: 2\n"
                                          "# Set by --lanes.\n"
                                          "lanes = 5\n"));
  EXPECT_THAT(values->output(), HasSubstr("# Admission to flash.\n"
                                          "# Allowed: shadow or enforce. Default: \"shadow\"\n"
                                          "# Set by TARN_SERVER_MODE.\n"
                                          "mode = \"enforce\"\n"));
  EXPECT_THAT(values->output(), HasSubstr("# Set by the default.\ndram_bytes = \"1GiB\"\n"));
}

TEST_F(Load, reads_back_what_it_printed) {
  const std::string awkward = "a \"b\" \\ \t\x7f\n# \xc3\xa9";
  const auto values = load({"--print-config", "--listen", awkward, "--dram-bytes", "1048577",
                            "--lease-ms", "1500", "--etcd", "a\"1,b", "--pin-lanes"});
  ASSERT_TRUE(values) << values.error().message();
  const auto again = load({"--config", file(values->output())});
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->get_string("listen"), awkward);
  EXPECT_EQ(again->get_bytes("dram_bytes"), 1048577u);
  EXPECT_EQ(again->get_duration_ms("lease_ms"), Millis(1500));
  EXPECT_THAT(again->get_list("etcd"), ElementsAre("a\"1", "b"));
  EXPECT_TRUE(again->get_bool("pin_lanes"));
}

TEST_F(Load, lets_the_program_refuse_in_the_same_voice) {
  const auto values = load({"--listen", "nohost"});
  ASSERT_TRUE(values);
  EXPECT_EQ(values->refuse("listen", "wants HOST:PORT"),
            invalid_argument("--listen: listen = \"nohost\": wants HOST:PORT"));
}

TEST(Environment, holds_what_the_process_was_given) {
  ASSERT_EQ(::setenv("TARN_CONFIG_TEST", "a=b", 1), 0);
  EXPECT_EQ(environment()["TARN_CONFIG_TEST"], "a=b");
}

}  // namespace
}  // namespace tarn::config
