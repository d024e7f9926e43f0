#include "common/auth/secrets_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/auth/secret_file.h"
#include "common/base/clock.h"
#include "common/base/fault_point.h"

namespace tarn::auth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kDayMs = 86'400'000;

std::string contents(const std::string& path) {
  std::ostringstream all;
  all << std::ifstream(path).rdbuf();
  return all.str();
}

mode_t mode(const std::string& path) {
  struct stat found {};
  EXPECT_EQ(::stat(path.c_str(), &found), 0) << path;
  return found.st_mode & 0777;
}

class Secrets : public testing::Test {
 protected:
  void SetUp() override {
    // In memory where that is possible: each file is synced, and a disk would take seconds.
    const bool has_memory = ::access("/dev/shm", W_OK) == 0;
    std::string pattern = (has_memory ? "/dev/shm/" : testing::TempDir()) + "tarn-secrets-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root = pattern;
    path = root + "/deep/secrets";
  }
  void TearDown() override {
    fault::disarm_all();
    std::filesystem::remove_all(root);
  }

  SecretsDir create() { return SecretsDir::create_all(path, options).value(); }
  std::string file(const std::string& name) const { return path + "/" + name; }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      all.push_back(entry.path().filename().string());
    }
    std::sort(all.begin(), all.end());
    return all;
  }

  std::string root;
  std::string path;
  Identity router = make_identity(Role::router, "r1").value();
  Identity worker = make_identity(Role::worker, "acme/w1").value();
  SecretsOptions options{{router, worker}, {"node1"}, {"10.0.0.1"}};
};

TEST_F(Secrets, are_all_there_and_private) {
  const SecretsDir dir = create();
  EXPECT_THAT(names(),
              ElementsAre("ca.key", "ca.pem", "router-r1.key", "router-r1.pem", "token.key",
                          "token.pub", "worker-acme@w1.key", "worker-acme@w1.pem"));
  EXPECT_EQ(mode(path), 0700u);
  for (const std::string& name : names())
    EXPECT_EQ(mode(file(name)), 0600u) << name;
  EXPECT_EQ(dir.path(), path);
}

TEST_F(Secrets, give_certificates_that_name_their_holders) {
  const SecretsDir dir = create();
  for (const Identity& who : {router, worker}) {
    const CertifiedKey pair = dir.certificate(who).value();
    EXPECT_EQ(identity_from_certificate(pair.certificate_pem).value(), who);
    EXPECT_EQ(pair.key_pem, contents(file(who == router ? "router-r1.key" : "worker-acme@w1.key")));
  }
  EXPECT_EQ(dir.ca_pem().value(), contents(file("ca.pem")));
  EXPECT_EQ(dir.certificate(make_identity(Role::server, "s1").value()).status().code(),
            Code::not_found);
  EXPECT_EQ(dir.certificate({Role::server, "../ca", ""}).status().code(), Code::invalid_argument);
}

TEST_F(Secrets, sign_and_verify_tokens) {
  const SecretsDir dir = create();
  const std::string token = dir.token_signer().value().sign(worker, 1000).value();
  EXPECT_EQ(dir.token_verifier().value().verify(token, 999, 0).value(), worker);
}

TEST_F(Secrets, stay_the_same_when_made_again) {
  create();
  std::vector<std::string> before;
  for (const std::string& name : names())
    before.push_back(contents(file(name)));
  create();
  std::vector<std::string> after;
  for (const std::string& name : names())
    after.push_back(contents(file(name)));
  EXPECT_EQ(before, after);
}

TEST_F(Secrets, are_mended_one_by_one) {
  create();
  const std::string ca = contents(file("ca.pem"));
  const std::string kept = contents(file("worker-acme@w1.pem"));
  const std::string old = contents(file("router-r1.pem"));
  const auto expect_reissued = [&](const char* why) {
    const SecretsDir dir = create();
    EXPECT_TRUE(dir.certificate(router).has_value()) << why;
    EXPECT_NE(contents(file("router-r1.pem")), old) << why;
    EXPECT_EQ(contents(file("worker-acme@w1.pem")), kept) << why;
    EXPECT_EQ(contents(file("ca.pem")), ca) << why;
  };
  std::filesystem::remove(file("router-r1.key"));
  expect_reissued("no key");
  std::ofstream(file("router-r1.pem")) << "nonsense";
  expect_reissued("nonsense");
  std::filesystem::copy_file(file("worker-acme@w1.key"), file("router-r1.key"),
                             std::filesystem::copy_options::overwrite_existing);
  expect_reissued("another's key");
  options.dns_names.push_back("node2");
  expect_reissued("a new host");
}

TEST_F(Secrets, are_renewed_before_they_end) {
  options.days = 20;
  options.renew_before_days = 10;
  const SecretsDir dir = create();
  const std::string old = contents(file("router-r1.pem"));
  create();
  EXPECT_EQ(contents(file("router-r1.pem")), old);
  ASSERT_TRUE(dir.issue({router, {"node1"}, {"10.0.0.1"}, 9}).has_value());
  const int64_t now_ms = system_clock().unix_ms();
  const Expiry soonest = dir.soonest_expiry(now_ms).value();
  EXPECT_EQ(soonest.file, "router-r1.pem");
  EXPECT_EQ(soonest.days, 8);
  EXPECT_EQ(dir.soonest_expiry(now_ms + 10 * kDayMs).value().days, -2);
  create();
  EXPECT_EQ(dir.soonest_expiry(now_ms).value().days, 19);
  options.renew_before_days = 20;
  EXPECT_EQ(SecretsDir::create_all(path, options).status().code(), Code::invalid_argument);
}

TEST_F(Secrets, need_the_ca_key_only_to_issue) {
  create();
  std::filesystem::remove(file("ca.key"));
  EXPECT_TRUE(SecretsDir::create_all(path, options).has_value());
  options.identities.push_back(make_identity(Role::server, "s1").value());
  const Status status = SecretsDir::create_all(path, options).status();
  EXPECT_EQ(status.code(), Code::not_found);
  EXPECT_THAT(status.message(), HasSubstr("ca.key"));
}

TEST_F(Secrets, open_to_others_are_refused_with_the_chmod_that_mends_it) {
  create();
  for (const mode_t open_mode : {0640u, 0604u, 0660u}) {
    for (const std::string name : {"ca.key", "token.key", "router-r1.key"}) {
      ASSERT_EQ(::chmod(file(name).c_str(), open_mode), 0);
      for (const Status& status :
           {SecretsDir::open(path).status(), SecretsDir::create_all(path, options).status()}) {
        EXPECT_EQ(status.code(), Code::permission_denied);
        EXPECT_THAT(status.message(), HasSubstr("chmod 600 " + file(name)));
      }
      ASSERT_EQ(::chmod(file(name).c_str(), 0400), 0);
    }
  }
  ASSERT_EQ(::chmod(path.c_str(), 0770), 0);
  EXPECT_THAT(SecretsDir::open(path).status().message(), HasSubstr("chmod 700 " + path));
  ASSERT_EQ(::chmod(path.c_str(), 0500), 0);
  ASSERT_EQ(::chmod(file("ca.pem").c_str(), 0644), 0);
  EXPECT_TRUE(SecretsDir::open(path).has_value()) << "certificates are public";
}

TEST_F(Secrets, that_are_not_there_are_not_found) {
  EXPECT_EQ(SecretsDir::open(path).status().code(), Code::not_found);
  std::filesystem::create_directories(path);
  EXPECT_THAT(SecretsDir::open(path).status().message(), HasSubstr("tarn certs"));
  const std::string plain = root + "/plain";
  std::ofstream(plain) << "x";
  EXPECT_FALSE(SecretsDir::open(plain).has_value());
  EXPECT_FALSE(SecretsDir::create_all(plain, options).has_value());
  EXPECT_FALSE(SecretsDir::create_all(plain + "/below", options).has_value());
}

// Each step of the making fails once; the next call mends what is left.
TEST_F(Secrets, are_whole_after_a_failure_at_any_step) {
  options.identities = {worker};
  for (const std::string point : {"auth.secrets_write", "auth.secrets_rename", "auth.random"}) {
    int failures = 0;
    for (uint32_t skip = 0; skip < 10; ++skip) {
      std::filesystem::remove_all(path);
      fault::disarm_all();
      fault::arm(point, {.skip = skip});
      if (SecretsDir::create_all(path, options).has_value()) break;
      ++failures;
      const SecretsDir dir = create();
      EXPECT_TRUE(dir.certificate(worker).has_value()) << point << " " << skip;
      const std::string token = dir.token_signer().value().sign(worker, 1000).value();
      EXPECT_TRUE(dir.token_verifier().value().verify(token, 0, 0).has_value());
    }
    EXPECT_EQ(failures, point == "auth.random" ? 2 : 6) << point;
  }
}

TEST_F(Secrets, whose_pair_does_not_fit_are_corrupt) {
  const SecretsDir dir = create();
  std::filesystem::copy_file(file("worker-acme@w1.key"), file("router-r1.key"),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(dir.certificate(router).status().code(), Code::corrupt);
  std::ofstream(file("odd.pem")) << "nonsense";
  EXPECT_EQ(dir.soonest_expiry(0).status().code(), Code::corrupt);
}

TEST_F(Secrets, have_one_writer_at_a_time) {
  const SecretsDir dir = create();
  {
    const FolderLock lock = FolderLock::open(path).value();
    EXPECT_EQ(dir.issue({router, {}, {}}).status().code(), Code::unavailable);
    EXPECT_EQ(SecretsDir::create_all(path, options).status().code(), Code::unavailable);
  }
  EXPECT_TRUE(dir.issue({router, {}, {}}).has_value());
}

TEST_F(Secrets, are_files_of_bounded_size) {
  create();
  EXPECT_EQ(read_secret_file(path, Privacy::anyone).status().code(), Code::corrupt);
  EXPECT_EQ(read_secret_file(file("none"), Privacy::owner).status().code(), Code::not_found);
  ASSERT_TRUE(write_secret_file(path, "large", std::string(kSecretFileBytesMax + 1, 'x')).is_ok());
  EXPECT_EQ(read_secret_file(file("large"), Privacy::owner).status().code(), Code::corrupt);
  ASSERT_TRUE(write_secret_file(path, "large", "small").is_ok());
  EXPECT_EQ(read_secret_file(file("large"), Privacy::owner).value(), "small");
}

}  // namespace
}  // namespace tarn::auth
