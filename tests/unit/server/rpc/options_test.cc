#include "server/options.h"

#include <gtest/gtest.h>

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

TEST(ServerOptions, LanesFollowProcessorsAndMemory) {
  ServerOptions options;
  options.dram_bytes = 64 * kMiB;
  EXPECT_EQ(lanes_of(options), 1u);
  options.lanes = 3;
  EXPECT_EQ(lanes_of(options), 3u);
}

}  // namespace
}  // namespace tarn::server
