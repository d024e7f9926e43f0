#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/credentials_folder.h"
#include "cli/dev_folder.h"
#include "cli/machine.h"
#include "common/base/units.h"
#include "tests/unit/cli/tarn_run.h"

namespace tarn::cli {
namespace {

using testing::HasSubstr;

class Dev : public InFolder {
 protected:
  mode_t mode(const std::string& name) const {
    struct stat info {};
    EXPECT_EQ(::stat(at(name).c_str(), &info), 0) << name;
    return info.st_mode & 0777;
  }
};

TEST_F(Dev, folder_is_held_by_one_supervisor) {
  {
    const auto first = DevFolder::open(at("d"));
    ASSERT_TRUE(first.has_value());
    const auto second = DevFolder::open(at("d"));
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().code(), Code::conflict);
    EXPECT_THAT(second.error().message(),
                HasSubstr("(process " + std::to_string(::getpid()) + ")"));
    EXPECT_THAT(second.error().message(), HasSubstr("--data"));
  }
  EXPECT_TRUE(DevFolder::open(at("d")).has_value());
}

TEST_F(Dev, folder_is_private_and_is_what_the_sdk_reads) {
  const auto folder = DevFolder::open(at("d"));
  ASSERT_TRUE(folder->prepare("127.0.0.1:7420", 2).is_ok());
  EXPECT_EQ(mode("d"), 0700u);
  EXPECT_EQ(mode("d/secrets"), 0700u);
  for (const char* name : {"d/ca.pem", "d/token", "d/endpoint", "d/lock", "d/secrets/ca.key",
                           "d/secrets/server-server-2.key", "d/secrets/router-router-1.key"}) {
    EXPECT_EQ(mode(name), 0600u) << name;
  }
  EXPECT_EQ(read_client_proof(at("d"))->endpoint, "127.0.0.1:7420");
  EXPECT_TRUE(read_proof(at("d"))->is_admin);
}

TEST_F(Dev, a_second_start_keeps_the_secrets) {
  const auto folder = DevFolder::open(at("d"));
  ASSERT_TRUE(folder->prepare("127.0.0.1:1", 1).is_ok());
  const std::string ca = file_text(at("d/ca.pem"));
  const std::string key = file_text(at("d/secrets/server-server-1.key"));
  ASSERT_TRUE(folder->prepare("127.0.0.1:2", 3).is_ok());
  EXPECT_EQ(file_text(at("d/ca.pem")), ca);
  EXPECT_EQ(file_text(at("d/secrets/server-server-1.key")), key);
  EXPECT_EQ(file_text(at("d/endpoint")), "127.0.0.1:2\n");
  EXPECT_EQ(mode("d/secrets/server-server-3.key"), 0600u);
}

TEST_F(Dev, folder_that_others_write_in_is_refused) {
  std::filesystem::create_directory(at("d"));
  std::filesystem::permissions(at("d"), std::filesystem::perms::all);
  const auto folder = DevFolder::open(at("d"));
  ASSERT_FALSE(folder.has_value());
  EXPECT_EQ(folder.error().code(), Code::permission_denied);
}

TEST_F(Dev, log_that_has_grown_is_put_aside) {
  std::filesystem::create_directory(at("d"));
  std::filesystem::permissions(at("d"), std::filesystem::perms::owner_all);
  std::ofstream(at("d/log")).put('x');
  std::filesystem::resize_file(at("d/log"), 17 * kMiB);
  ASSERT_TRUE(DevFolder::open(at("d")).has_value());
  EXPECT_FALSE(std::filesystem::exists(at("d/log")));
  EXPECT_TRUE(std::filesystem::exists(at("d/log.old")));
}

TEST_F(Dev, flags_are_checked_before_anything_is_made) {
  const auto refused = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"dev", "--data", at("d")});
    return run_tarn(more);
  };
  EXPECT_EQ(refused({"--servers", "0"}).exit, kExitUsage);
  EXPECT_EQ(refused({"--dram-bytes", "1MiB"}).exit, kExitUsage);
  EXPECT_THAT(refused({"--dram-bytes", "1GiB", "--servers", "16"}).err,
              HasSubstr("each server needs 128 MiB"));
  EXPECT_FALSE(std::filesystem::exists(at("d")));
  EXPECT_EQ(refused({"--listen", "nonsense"}).exit, kExitUsage);
  EXPECT_EQ(refused({"--listen", "0.0.0.0:0"}).exit, kExitUsage);
}

TEST(Machine, device_is_that_of_the_address) {
  EXPECT_EQ(device_of_host("127.0.0.1"), "lo");
  EXPECT_EQ(device_of_host("localhost"), "lo");
  EXPECT_EQ(device_of_host("192.0.2.1"), "");
}

TEST(Machine, lanes_need_memory) {
  EXPECT_EQ(lanes_that_fit(0), 1u);
  EXPECT_EQ(lanes_that_fit(512 * kMiB), 4u);
}

}  // namespace
}  // namespace tarn::cli
