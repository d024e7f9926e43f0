#include "server/options.h"

#include <gtest/gtest.h>

#include "common/base/processors.h"

namespace tarn::server {
namespace {

Result<ServerOptions> parse(std::vector<const char*> args) {
  args.insert(args.begin(), "tarn-server");
  auto values = config::load(server_schema(), static_cast<int>(args.size()), args.data(), {});
  if (!values) return values.error();
  return server_options(*values);
}

TEST(ServerOptions, ReadsFlags) {
  const auto options = parse({"--name", "s1", "--data-dir", "/d", "--secrets-dir", "/s",
                              "--routers", "a:1,b:2", "--dram-bytes", "2GiB", "--lanes", "4",
                              "--ucx-shm", "trusted", "--spin-us", "0", "--domain", "rack1"});
  ASSERT_TRUE(options.has_value()) << options.error().message();
  EXPECT_EQ(options->routers, (std::vector<std::string>{"a:1", "b:2"}));
  EXPECT_EQ(options->dram_bytes, 2 * kGiB);
  EXPECT_EQ(options->lanes, 4u);
  EXPECT_TRUE(options->trusts_shm);
  EXPECT_EQ(options->spin.count(), 0);
  EXPECT_EQ(options->domain, "rack1");
}

TEST(ServerOptions, SaysWhichItemIsWrong) {
  const auto message = [](std::vector<const char*> args) {
    const auto options = parse(std::move(args));
    return options.has_value() ? std::string() : options.error().message();
  };
  EXPECT_NE(message({}).find("name"), std::string::npos);
  EXPECT_NE(message({"--name", "s1"}).find("data_dir"), std::string::npos);
  EXPECT_NE(message({"--name", "s1", "--data-dir", "/d"}).find("secrets_dir"), std::string::npos);
  EXPECT_NE(message({"--name", "s1", "--data-dir", "/d", "--secrets-dir", "/s", "--lanes", "64"})
                .find("dram_bytes"),
            std::string::npos);
  EXPECT_NE(message({"--ucx-shm", "maybe"}).find("ucx"), std::string::npos);
  EXPECT_NE(message({"--dram-bites", "1GiB"}).find("dram-bites"), std::string::npos);
}

TEST(ServerOptions, ValuesAtTheirLimits) {
  struct {
    const char* item;
    const char* value;
    const char* names;  // null: it is fine
  } const cases[] = {
      {"--dram-bytes", "64MiB", nullptr},
      {"--dram-bytes", "63MiB", "dram"},
      {"--dram-bytes", "1025TiB", "dram"},
      {"--dram-bytes", "-1", "dram"},
      {"--dram-bytes", "lots", "dram"},
      {"--lanes", "1025", "lanes"},
      {"--lanes", "x", "lanes"},
      {"--weight", "0", nullptr},
      {"--weight", "1000", nullptr},
      {"--weight", "1001", "weight"},
      {"--spin-us", "1000000", nullptr},
      {"--spin-us", "1000001", "spin"},
      {"--log-level", "loud", "log"},
      {"--ucx-shm", "on", "ucx"},
      {"--tenant-dram-bytes", "0", nullptr},
      {"--flash-bytes", "1025TiB", "flash"},
      {"--flash-writes-per-day", "0.3", nullptr},
      {"--flash-writes-per-day", "0", "flash_writes_per_day"},
      {"--flash-writes-per-day", "3x", "flash_writes_per_day"},
      {"--flash-writes-per-day", "nan", "flash_writes_per_day"},
      {"--flash-writes-per-day", "-1", "flash_writes_per_day"},
      {"--flash-admission", "maybe", "flash"},
      {"--flash-paths", "/a,/a", "flash_paths"},
      {"--flash-paths", "/a,/b", nullptr},
  };
  for (const auto& each : cases) {
    const auto options =
        parse({"--name", "s1", "--data-dir", "/d", "--secrets-dir", "/s", each.item, each.value});
    EXPECT_EQ(options.has_value(), each.names == nullptr) << each.item << " " << each.value;
    if (options.has_value() || each.names == nullptr) continue;
    EXPECT_EQ(options.error().code(), Code::invalid_argument);
    EXPECT_NE(options.error().message().find(each.names), std::string::npos)
        << options.error().message();
  }
}

TEST(ServerOptions, EveryItemIsTakenOver) {
  const auto options = parse({"--name",
                              "s1",
                              "--listen",
                              "10.0.0.1:1",
                              "--advertise",
                              "h:2",
                              "--weight",
                              "250",
                              "--tenant-dram-bytes",
                              "3GiB",
                              "--data-dir",
                              "/d",
                              "--secrets-dir",
                              "/s",
                              "--insecure-loopback=true",
                              "--fabric-device",
                              "mlx5_0:1",
                              "--metrics-listen",
                              "127.0.0.1:3",
                              "--dram-bytes",
                              "1GiB",
                              "--flash-paths",
                              "/dev/a,/b",
                              "--flash-bytes",
                              "2GiB",
                              "--flash-writes-per-day",
                              "2.5",
                              "--flash-admission",
                              "enforce",
                              "--lanes",
                              "2"});
  ASSERT_TRUE(options.has_value()) << options.error().message();
  EXPECT_EQ(options->listen, "10.0.0.1:1");
  EXPECT_EQ(options->advertise, "h:2");
  EXPECT_EQ(options->weight, 250u);
  EXPECT_EQ(options->tenant_dram_bytes, 3 * kGiB);
  EXPECT_TRUE(options->insecure_loopback);
  EXPECT_FALSE(options->trusts_shm);
  EXPECT_EQ(options->fabric_device, "mlx5_0:1");
  EXPECT_EQ(options->metrics_listen, "127.0.0.1:3");
  EXPECT_EQ(options->flash_paths, (std::vector<std::string>{"/dev/a", "/b"}));
  EXPECT_EQ(options->flash_bytes, 2 * kGiB);
  EXPECT_EQ(options->flash_writes_per_day, 2.5);
  EXPECT_EQ(options->flash_admission, flash::AdmissionMode::enforce);
}

Result<ServerOptions> parse_more(std::vector<const char*> args) {
  args.insert(args.begin(), {"--name", "s1", "--data-dir", "/d", "--secrets-dir", "/s"});
  return parse(std::move(args));
}

TEST(ServerOptions, NoMoreMemoryIsReadyThanThereIs) {
  const auto all = parse_more({"--dram-bytes", "1GiB", "--dram-ready-bytes", "1GiB"});
  ASSERT_TRUE(all.has_value()) << all.error().message();
  EXPECT_EQ(all->dram_ready_bytes, kGiB);
  const auto more = parse_more({"--dram-bytes", "1GiB", "--dram-ready-bytes", "2GiB"});
  ASSERT_FALSE(more.has_value());
  EXPECT_NE(more.error().message().find("dram_ready_bytes"), std::string::npos);
}

TEST(ServerOptions, APollingLaneSpinsForEver) {
  const auto options = parse_more({"--polling", "--lanes", "1"});
  ASSERT_EQ(options.has_value(), allowed_processors().size() > 1);
  if (options) {
    EXPECT_GT(options->spin, std::chrono::hours(24 * 365));
  }
}

TEST(ServerOptions, LanesThatNeverSleepLeaveAProcessorForTheRest) {
  const std::string all = std::to_string(allowed_processors().size());
  const auto options = parse_more({"--polling", "--lanes", all.c_str(), "--dram-bytes", "1TiB"});
  ASSERT_FALSE(options.has_value());
  EXPECT_NE(options.error().message().find("polling: " + all + " lanes"), std::string::npos);
}

TEST(ServerOptions, EachOfTheLaneCpusIsOneLane) {
  const std::string first = std::to_string(allowed_processors().at(0));
  const auto options = parse_more({"--lane-cpus", first.c_str()});
  ASSERT_TRUE(options.has_value()) << options.error().message();
  EXPECT_EQ(options->lanes, 1u);
  EXPECT_EQ(options->lane_cpus, std::vector<uint32_t>{allowed_processors().at(0)});
}

TEST(ServerOptions, LaneCpusThatMakeNoSenseAreRefusedInWords) {
  const std::string first = std::to_string(allowed_processors().at(0));
  const std::string twice = first + "," + first;
  struct {
    const char* cpus;
    const char* lanes;
    const char* words;
  } const cases[] = {
      {"two", "0", "not the number of a processor: 'two'"},
      {"-1", "0", "not the number of a processor: '-1'"},
      {"1023", "0", "may not run on processor 1023"},
      {"4294967295", "0", "may not run on processor 4294967295"},
      {"4294967296", "0", "not the number of a processor"},
      {twice.c_str(), "0", "take turns"},
      {first.c_str(), "2", "1 processors for 2 lanes"},
  };
  for (const auto& each : cases) {
    const auto options = parse_more({"--lane-cpus", each.cpus, "--lanes", each.lanes});
    ASSERT_FALSE(options.has_value()) << each.cpus;
    EXPECT_EQ(options.error().code(), Code::invalid_argument);
    EXPECT_NE(options.error().message().find(each.words), std::string::npos)
        << options.error().message();
    EXPECT_TRUE(options.error().message().starts_with("lane_cpus: "));
  }
}

TEST(ServerOptions, LanesFollowProcessorsAndMemory) {
  ServerOptions options;
  options.dram_bytes = 64 * kMiB;
  EXPECT_EQ(lanes_of(options), 1u);
  options.lanes = 3;
  EXPECT_EQ(lanes_of(options), 3u);
}

}  // namespace
}  // namespace tarn::server
