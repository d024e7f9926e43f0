// The credentials folder: what is missing, wrong, expired or replaced while a client lives.
#include "common/base/check.h"
#include "sdk/cpp/src/credentials_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/auth/certificates.h"
#include "common/auth/secret_file.h"
#include "common/auth/token.h"
#include "common/block/key.h"
#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CredentialsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    x_folder = std::filesystem::path(testing::TempDir()) /
               ("credentials-" + std::to_string(getpid()) + "-" +
                testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(x_folder);
    options.credentials = x_folder;
  }
  void TearDown() override { std::filesystem::remove_all(x_folder); }
  void write(const char* name, const std::string& text) { std::ofstream(x_folder / name) << text; }
  static std::string token(const char* tenant, auth::Role role = auth::Role::tenant) {
    const auto keys = auth::make_token_keys().value();
    const auto signer = auth::TokenSigner::open(keys.private_pem).value();
    return signer.sign(auth::make_identity(role, tenant).value(), INT64_MAX).value();
  }
  void write_certificate(const char* tenant, int days) {
    const auto ca = auth::make_ca(10).value();
    auth::CertificateRequest request;
    request.identity = auth::make_identity(auth::Role::tenant, tenant).value();
    request.days = days;
    const auto pair = auth::issue_certificate(ca, request).value();
    write("ca.pem", ca.certificate_pem);
    write("client.pem", pair.certificate_pem);
    write("client.key", pair.key_pem);
  }
  std::string refusal() { return find_credentials(options).error().message(); }

  std::filesystem::path x_folder;
  ClientOptions options;
};

TEST_F(CredentialsTest, AreReadFromAFolder) {
  write("ca.pem", "CA");
  write("token", token("acme") + "\n");
  write("endpoint", "a:1, b:2\nc:3\n");
  const auto found = find_credentials(options);
  ASSERT_TRUE(found) << found.error().to_string();
  EXPECT_THAT(found->endpoints, ElementsAre("a:1", "b:2", "c:3"));
  EXPECT_EQ(found->ca_pem, "CA");
  EXPECT_EQ(found->identity.tenant, "acme");
  EXPECT_EQ(found->tenant, block::tenant_id("acme"));
  EXPECT_FALSE(found->is_plain);
  options.endpoint = "plain://127.0.0.1:9";
  options.token = token("other/w1", auth::Role::worker);
  EXPECT_TRUE(find_credentials(options)->is_plain);
  EXPECT_EQ(find_credentials(options)->identity.tenant, "other");
}

TEST_F(CredentialsTest, MayBeACertificate) {
  write_certificate("acme", 5);
  write("endpoint", "a:1");
  const auto found = find_credentials(options);
  ASSERT_TRUE(found) << found.error().to_string();
  EXPECT_EQ(found->identity.tenant, "acme");
  EXPECT_THAT(found->key_pem, HasSubstr("PRIVATE KEY"));
}

TEST_F(CredentialsTest, WhatIsMissingIsNamed) {
  EXPECT_THAT(refusal(), HasSubstr("endpoint"));
  write("endpoint", "nonsense");
  EXPECT_THAT(refusal(), HasSubstr("HOST:PORT"));
  write("endpoint", "a:1");
  EXPECT_THAT(refusal(), HasSubstr("ca.pem"));
  write("ca.pem", "CA");
  EXPECT_THAT(refusal(), HasSubstr("token"));
  write("token", "rubbish");
  EXPECT_EQ(find_credentials(options).error().code(), Code::unauthenticated);
  write("token", token("s1", auth::Role::server));
  EXPECT_THAT(refusal(), HasSubstr("has no data"));
}

TEST_F(CredentialsTest, TheEnvironmentStandsInForOptions) {
  write("ca.pem", "CA");
  write("token", token("acme"));
  write("endpoint", "a:1");
  options.credentials.clear();
  setenv("TARN_CREDENTIALS", x_folder.c_str(), 1);
  setenv("TARN_ENDPOINT", "z:9", 1);
  const auto found = find_credentials(options);
  unsetenv("TARN_CREDENTIALS");
  unsetenv("TARN_ENDPOINT");
  ASSERT_TRUE(found) << found.error().to_string();
  EXPECT_THAT(found->endpoints, ElementsAre("z:9"));
}

TEST_F(CredentialsTest, ListsOfEndpointsAreReadLeniently) {
  write("ca.pem", "CA");
  write("token", token("acme"));
  const struct {
    const char* text;
    std::vector<std::string> endpoints;
  } cases[] = {
      {"a:1", {"a:1"}},
      {",a:1,,b:2,", {"a:1", "b:2"}},
      {" a:1 \t,\r\n b:2 \n\n", {"a:1", "b:2"}},
      {"[::1]:5,plain://127.0.0.1:6", {"[::1]:5", "127.0.0.1:6"}},
  };
  for (const auto& each : cases) {
    options.endpoint = each.text;
    const auto found = find_credentials(options);
    ASSERT_TRUE(found) << each.text << ": " << found.error().to_string();
    EXPECT_EQ(found->endpoints, each.endpoints) << each.text;
  }
}

TEST_F(CredentialsTest, SixtyFourRoutersAreTakenAndOneMoreIsAMistake) {
  write("ca.pem", "CA");
  write("token", token("acme"));
  for (size_t i = 0; i < kEndpointsMax; ++i)
    options.endpoint += "r" + std::to_string(i) + ":1,";
  EXPECT_EQ(find_credentials(options)->endpoints.size(), kEndpointsMax);
  options.endpoint += "one-more:1";
  EXPECT_THAT(refusal(), HasSubstr("too many routers"));
}

TEST_F(CredentialsTest, ATokenOfTheOptionsGoesBeforeACertificateOfTheFolder) {
  write_certificate("acme", 5);
  write("endpoint", "a:1");
  options.token = token("other");
  const auto found = find_credentials(options);
  ASSERT_TRUE(found) << found.error().to_string();
  EXPECT_EQ(found->identity.tenant, "other");
  EXPECT_TRUE(found->certificate_pem.empty());
}

TEST_F(CredentialsTest, ACertificateWithoutItsKeyIsNone) {
  write_certificate("acme", 5);
  write("endpoint", "a:1");
  std::filesystem::remove(x_folder / "client.key");
  EXPECT_THAT(refusal(), HasSubstr("client.key"));
  write("token", token("other"));
  EXPECT_EQ(find_credentials(options)->identity.tenant, "other");
}

TEST_F(CredentialsTest, AnExpiredCertificateIsNamedBeforeAnyoneIsAsked) {
  write("ca.pem", "CA");
  write("endpoint", "a:1");
  write("client.key", "KEY");
  // Made by `openssl ca`, valid on one day of 2020.
  write("client.pem", R"(-----BEGIN CERTIFICATE-----
MIIBTDCB86ADAgECAgEBMAoGCCqGSM49BAMCMA8xDTALBgNVBAMMBGFjbWUwHhcN
MjAwMTAxMDAwMDAwWhcNMjAwMTAyMDAwMDAwWjAPMQ0wCwYDVQQDDARhY21lMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFXKGiIwEyrZDPffdfxNdSRAkWYtIfI+M
ALZg2TrrIsUDir17WX2mAyFGM66t78taj/Grq8PnDL4WV5+5naymV6NAMD4wHQYD
VR0RBBYwFIYSdGFybjovL3RlbmFudC9hY21lMB0GA1UdDgQWBBT6gFdaxT4zDdqZ
FEevowoY3yHlczAKBggqhkjOPQQDAgNIADBFAiB0mzghyHBWRUjkyWUaI2IKSiV+
87Y586ooWMspRjS4GAIhAPnBlhwa4F5T6g+vb4oeGGjHNn70eodDbMJdwwx3kyOZ
-----END CERTIFICATE-----
)");
  const auto found = find_credentials(options);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::unauthenticated);
  EXPECT_THAT(found.error().message(), HasSubstr("client.pem has expired"));
  EXPECT_THAT(found.error().message(), HasSubstr("tarn certs"));
}

TEST_F(CredentialsTest, WhatIsNoFileOrNoKeyIsToldFromWhatIsMissing) {
  write("ca.pem", "CA");
  write("endpoint", "a:1");
  std::filesystem::create_directories(x_folder / "token");
  EXPECT_EQ(find_credentials(options).error().code(), Code::corrupt);
  EXPECT_THAT(refusal(), HasSubstr((x_folder / "token").string()));
  std::filesystem::remove_all(x_folder / "token");
  write("token", std::string(auth::kSecretFileBytesMax + 1, 't'));
  EXPECT_EQ(find_credentials(options).error().code(), Code::corrupt);
}

// Root reads everything: it is nobody for as long as this lives.
class Unprivileged {
 public:
  Unprivileged() {
    if (x_is_root) TARN_CHECK(seteuid(65534) == 0);
  }
  ~Unprivileged() {
    if (x_is_root) TARN_CHECK(seteuid(0) == 0);
  }
  Unprivileged(const Unprivileged&) = delete;
  Unprivileged& operator=(const Unprivileged&) = delete;

 private:
  const bool x_is_root = geteuid() == 0;
};

TEST_F(CredentialsTest, AFileThatMayNotBeReadIsNamed) {
  write("ca.pem", "CA");
  write("endpoint", "a:1");
  write("token", token("acme"));
  std::filesystem::permissions(x_folder / "token", std::filesystem::perms::none);
  std::filesystem::permissions(x_folder, std::filesystem::perms(0755));
  const Unprivileged nobody;
  EXPECT_EQ(find_credentials(options).error().code(), Code::permission_denied);
  EXPECT_THAT(refusal(), HasSubstr("token"));
}

TEST_F(CredentialsTest, ATokenOpenToEveryoneIsStillTaken) {
  write("ca.pem", "CA");
  write("endpoint", "a:1");
  write("token", token("acme"));
  std::filesystem::permissions(x_folder / "token", std::filesystem::perms(0644));
  EXPECT_TRUE(find_credentials(options)) << "mounted secrets are often so; a warning is enough";
}

TEST_F(CredentialsTest, AFolderThatIsNotThereNamesItself) {
  options.credentials = "/no/such/folder";
  EXPECT_THAT(refusal(), HasSubstr("/no/such/folder/endpoint"));
  options.endpoint = "a:1";
  EXPECT_THAT(refusal(), HasSubstr("/no/such/folder/ca.pem"));
}

TEST_F(CredentialsTest, ReplacedOnesAreTakenUpOncePerPause) {
  write("ca.pem", "CA");
  write("endpoint", "a:1");
  write("token", token("acme"));
  const auto source = CredentialSource::open(options).value();
  const auto before = source->current();
  EXPECT_FALSE(source->refresh()) << "they are the same";
  write("token", token("acme"));
  EXPECT_FALSE(source->refresh()) << "the folder was looked at a moment ago";
  EXPECT_EQ(source->current(), before);
}

TEST_F(CredentialsTest, ReplacedOnesAreTakenUpWhenTheyAreOfTheSameTenant) {
  write("ca.pem", "CA");
  write("endpoint", "a:1");
  const struct {
    std::string token;
    bool taken;
  } cases[] = {{token("acme"), true}, {token("other"), false}, {"rubbish", false}, {"", false}};
  for (const auto& each : cases) {
    const std::string first = token("acme");
    write("token", first);
    const auto source = CredentialSource::open(options).value();
    write("token", each.token);
    write("endpoint", "b:2");
    EXPECT_EQ(source->refresh(), each.taken) << each.token;
    EXPECT_EQ(source->current()->token, each.taken ? each.token : first);
    EXPECT_THAT(source->current()->endpoints, ElementsAre("a:1")) << "channels lead there";
    write("endpoint", "a:1");
  }
}

class RotationTest : public CredentialsTest {
 protected:
  void TearDown() override {
    client.reset();
    CredentialsTest::TearDown();
  }
  void connect() {
    options.endpoint = cluster.options().endpoint;
    options.transport = Transport::grpc;
    client.emplace(Client::connect(options).value());
    SpaceSpec spec;
    spec.model = "m";
    space.emplace(client->open_space(spec).value());
  }
  void only(const std::string& token) {
    const std::lock_guard lock(cluster.state().mutex);
    cluster.state().only_token = token;
  }
  Outcome match() {
    CallOptions soon;
    soon.timeout_ms = 3000;
    const std::vector<BlockHash> hashes{"a"};
    const auto matched = space->match(hashes, soon);
    return matched ? Outcome::ok : matched.error().outcome;
  }

  FakeCluster cluster{1};
  std::optional<Client> client;
  std::optional<Space> space;
};

TEST_F(RotationTest, AClientGoesOnWithATokenThatReplacedAnExpiredOne) {
  const std::string first = token(kTenant);
  write("token", first);
  connect();
  only(first);
  EXPECT_EQ(match(), Outcome::ok);
  const std::string second = token(kTenant);
  only(second);
  write("token", second);
  EXPECT_EQ(match(), Outcome::ok) << "the folder was read again";
}

TEST_F(RotationTest, WithoutANewOneTheRefusalIsToldAtOnce) {
  write("token", token(kTenant));
  connect();
  only("another");
  const Instant begin = system_clock().now();
  EXPECT_EQ(match(), Outcome::unauthenticated);
  EXPECT_LT(system_clock().now() - begin, std::chrono::seconds(2)) << "not at the deadline";
}

}  // namespace
}  // namespace tarn::sdk
