#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/credentials_folder.h"
#include "common/auth/secrets_dir.h"
#include "common/auth/token.h"
#include "common/base/clock.h"
#include "tests/unit/cli/tarn_run.h"

namespace tarn::cli {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

mode_t mode_of(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 0777;
}

class CredentialsCommand : public InFolder {
 protected:
  Ran certs(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"certs", "--secrets-dir", at("s")});
    return run_tarn(more);
  }
  Ran token(std::vector<std::string> more) {
    more.insert(more.begin(), {"token", "create", "--secrets-dir", at("s")});
    return run_tarn(more);
  }
};

TEST_F(CredentialsCommand, certs_of_a_new_folder_serve_a_small_cluster) {
  const Ran ran = certs();
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("tarn://admin/admin"));
  EXPECT_THAT(ran.out, HasSubstr("tarn://router/router-1"));
  EXPECT_THAT(ran.out, HasSubstr("tarn://server/server-3"));
  EXPECT_EQ(mode_of(at("s")), 0700u);
  for (const auto& file : std::filesystem::directory_iterator(at("s")))
    EXPECT_EQ(mode_of(file.path().string()), 0600u) << file.path();
}

TEST_F(CredentialsCommand, certs_twice_change_nothing) {
  ASSERT_EQ(certs().exit, 0);
  const std::string ca = file_text(at("s/ca.pem"));
  const std::string admin = file_text(at("s/admin-admin.pem"));
  ASSERT_EQ(certs({"--server", "storage-9"}).exit, 0);
  EXPECT_EQ(file_text(at("s/ca.pem")), ca);
  EXPECT_EQ(file_text(at("s/admin-admin.pem")), admin);
  EXPECT_TRUE(std::filesystem::exists(at("s/server-storage-9.key")));
}

TEST_F(CredentialsCommand, certs_take_names_hosts_and_days) {
  const Ran ran = certs({"--server", "a", "--server", "b", "--router", "r", "--host", "10.0.0.1",
                         "--host", "db.example", "--days", "20", "--json"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("\"tarn://server/b\""));
  EXPECT_THAT(ran.out, HasSubstr("\"soonest_expiry_days\": 19"));
  EXPECT_FALSE(std::filesystem::exists(at("s/server-server-1.pem")));
  EXPECT_EQ(certs({"--host", "*.example", "--server", "c"}).exit, kExitUsage);
}

TEST_F(CredentialsCommand, a_token_alone_is_all_that_is_printed) {
  ASSERT_EQ(certs().exit, 0);
  const Ran ran = token({"--tenant", "demo", "--ttl", "1h"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_THAT(ran.out, StartsWith("tarn1."));
  const std::string text = ran.out.substr(0, ran.out.size() - 1);
  const auto verifier = auth::SecretsDir::open(at("s"))->token_verifier();
  const auto holder = verifier->verify(text, system_clock().unix_ms(), 0);
  ASSERT_TRUE(holder.has_value());
  EXPECT_EQ(auth::identity_uri(*holder), "tarn://tenant/demo");
  EXPECT_FALSE(verifier->verify(text, system_clock().unix_ms() + 3'700'000, 0).has_value());
}

TEST_F(CredentialsCommand, a_token_may_be_of_a_worker) {
  ASSERT_EQ(certs().exit, 0);
  EXPECT_THAT(token({"--tenant", "demo", "--worker", "gpu-1", "--json"}).out,
              HasSubstr("\"holder\": \"tarn://worker/demo/gpu-1\""));
}

TEST_F(CredentialsCommand, a_folder_for_the_sdk_is_private) {
  ASSERT_EQ(certs().exit, 0);
  ASSERT_EQ(token({"--tenant", "demo", "--out", at("t"), "--endpoint", "127.0.0.1:7420"}).exit, 0);
  EXPECT_EQ(mode_of(at("t")), 0700u);
  for (const char* name : {"t/ca.pem", "t/token", "t/endpoint"})
    EXPECT_EQ(mode_of(at(name)), 0600u) << name;
  EXPECT_EQ(file_text(at("t/endpoint")), "127.0.0.1:7420\n");
  EXPECT_EQ(file_text(at("t/ca.pem")), file_text(at("s/ca.pem")));
}

TEST_F(CredentialsCommand, mistakes_are_one_sentence) {
  EXPECT_EQ(run_tarn({"certs"}).exit, kExitUsage);
  EXPECT_EQ(run_tarn({"token"}).exit, kExitUsage);
  EXPECT_EQ(token({"--tenant", "demo"}).exit, kExitNotSo);
  ASSERT_EQ(certs().exit, 0);
  EXPECT_EQ(token({"--tenant", "No Spaces"}).exit, kExitUsage);
  const Ran ran = token({"--tenant", "demo", "--ttl", "1y", "--json"});
  EXPECT_EQ(ran.exit, kExitUsage);
  EXPECT_THAT(ran.err, StartsWith("tarn: --ttl = \"1y\""));
  EXPECT_THAT(ran.out, HasSubstr("\"code\": \"invalid_argument\""));
  EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1);
}

TEST_F(CredentialsCommand, proof_of_a_secrets_folder_is_an_admin) {
  ASSERT_EQ(certs().exit, 0);
  const Proof proof = read_proof(at("s")).value();
  EXPECT_TRUE(proof.is_admin);
  EXPECT_EQ(proof.ca_pem, file_text(at("s/ca.pem")));
  EXPECT_THAT(proof.source, HasSubstr("admin-admin.pem"));
  EXPECT_EQ(find_endpoint("", proof).error().code(), Code::invalid_argument);
  EXPECT_EQ(find_endpoint("a:1", proof).value(), "a:1");
}

TEST_F(CredentialsCommand, proof_of_a_client_is_its_token_or_certificate) {
  ASSERT_EQ(certs().exit, 0);
  ASSERT_EQ(token({"--tenant", "demo", "--out", at("t"), "--endpoint", "a:1"}).exit, 0);
  const Proof by_token = read_proof(at("t")).value();
  EXPECT_FALSE(by_token.is_admin);
  EXPECT_THAT(by_token.token, StartsWith("tarn1."));
  EXPECT_EQ(find_endpoint("", by_token).value(), "a:1");
  std::filesystem::copy(at("s/admin-admin.pem"), at("t/client.pem"));
  std::filesystem::copy(at("s/admin-admin.key"), at("t/client.key"));
  EXPECT_EQ(read_proof(at("t"))->certificate_pem, file_text(at("s/admin-admin.pem")));
  EXPECT_EQ(read_proof(at("nowhere")).error().code(), Code::not_found);
}

TEST_F(CredentialsCommand, proof_of_dev_is_the_admin_of_its_secrets) {
  ASSERT_EQ(certs().exit, 0);
  ASSERT_EQ(token({"--tenant", "demo", "--out", at("t")}).exit, 0);
  std::filesystem::rename(at("s"), at("t/secrets"));
  EXPECT_TRUE(read_proof(at("t"))->is_admin);
}

TEST(App, answers_for_itself) {
  EXPECT_THAT(run_tarn({"--version"}).out, StartsWith("tarn 0."));
  EXPECT_EQ(run_tarn({"--help"}).exit, 0);
  EXPECT_THAT(run_tarn({"--help"}).out, HasSubstr("certs"));
  EXPECT_THAT(run_tarn({}).err, HasSubstr("name a command"));
  EXPECT_THAT(run_tarn({"doctr"}).err, HasSubstr("did you mean doctor?"));
  EXPECT_EQ(run_tarn({"doctr"}).exit, kExitUsage);
  EXPECT_THAT(run_tarn({"certs", "--frob"}).err, HasSubstr("tarn certs --help"));
}

TEST(App, leaves_with_what_the_caller_should_do) {
  EXPECT_EQ(exit_code(Code::ok), 0);
  EXPECT_EQ(exit_code(Code::not_found), 1);
  EXPECT_EQ(exit_code(Code::conflict), 1);
  EXPECT_EQ(exit_code(Code::invalid_argument), 2);
  EXPECT_EQ(exit_code(Code::deadline_exceeded), 3);
  EXPECT_EQ(exit_code(Code::permission_denied), 4);
  EXPECT_EQ(exit_code(Code::corrupt), 5);
}

using Doctor = InFolder;

TEST_F(Doctor, says_what_to_do_about_problems) {
  const Ran ran = run_tarn({"doctor", "--credentials", at("none"), "--listen", "127.0.0.1:0",
                            "--dram-bytes", "1MiB", "--etcd", "127.0.0.1:1"});
  EXPECT_EQ(ran.exit, kExitNotSo);
  EXPECT_THAT(ran.out, HasSubstr("problem  etcd 127.0.0.1:1: "));
  EXPECT_THAT(ran.out, HasSubstr("-> start etcd"));
  EXPECT_THAT(ran.err, HasSubstr("there are problems"));
}

TEST_F(Doctor, answers_with_one_json_value) {
  const Ran ran = run_tarn({"doctor", "--json", "--credentials", at("none"), "--listen",
                            "192.0.2.1:1", "--dram-bytes", "1MiB"});
  EXPECT_EQ(ran.exit, kExitNotSo);
  EXPECT_THAT(ran.out, StartsWith("{\n  \"health\": \"problem\",\n  \"findings\": ["));
  EXPECT_THAT(ran.out, testing::EndsWith("  ]\n}\n"));
  EXPECT_EQ(run_tarn({"doctor", "--dram-bytes", "lots"}).exit, kExitUsage);
}

}  // namespace
}  // namespace tarn::cli
