#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/auth/secret_file.h"
#include "common/auth/secrets_dir.h"
#include "common/base/clock.h"
#include "tests/unit/auth/odd_certificate.h"

// Certificates whose time, CA, name or key is wrong, and what `tarn certs` makes of a folder that
// holds one.
namespace tarn::auth {
namespace {

using ::testing::HasSubstr;

constexpr const char* kNames = "URI:tarn://router/r1,DNS:router.tarn,DNS:localhost,IP:127.0.0.1";
constexpr long kDayS = 86'400;

class Lifetimes : public testing::Test {
 protected:
  CertifiedKey of(long begins_in_s, long ends_in_s) {
    return make_odd({kNames, begins_in_s, ends_in_s, &x_ca});
  }
  std::string why(const CertifiedKey& pair, int64_t until_ms, int64_t from_ms) {
    const Status status =
        check_certificate(pair, x_request, {x_ca.certificate_pem, until_ms, from_ms});
    EXPECT_TRUE(status.is_ok() || status.code() == Code::invalid_argument);
    EXPECT_EQ(ERR_peek_error(), 0u);
    return status.is_ok() ? "fits" : status.message();
  }

  CertifiedKey x_ca = make_ca(100).value();
  CertificateRequest x_request{make_identity(Role::router, "r1").value(), {}, {}};
  int64_t x_now_ms = system_clock().unix_ms();
};

TEST_F(Lifetimes, that_hold_now_fit) {
  EXPECT_EQ(why(of(-10, kDayS), x_now_ms, x_now_ms), "fits");
}

TEST_F(Lifetimes, that_are_over_are_too_short) {
  EXPECT_EQ(why(of(-kDayS, -10), x_now_ms, x_now_ms), "the certificate ends too soon");
  EXPECT_EQ(why(of(-kDayS, kDayS), x_now_ms + 2000 * kDayS, x_now_ms),
            "the certificate ends too soon");
}

TEST_F(Lifetimes, that_have_not_begun_do_not_fit) {
  const CertifiedKey early = of(kDayS, 10 * kDayS);
  EXPECT_EQ(why(early, x_now_ms, x_now_ms), "the certificate is not valid yet");
  EXPECT_EQ(why(early, x_now_ms, x_now_ms + 2000 * kDayS), "fits") << "by then it has begun";
}

TEST_F(Lifetimes, do_not_matter_where_only_the_pair_is_asked_about) {
  EXPECT_EQ(why(of(kDayS, 2 * kDayS), INT64_MIN, INT64_MAX), "fits");
  EXPECT_EQ(why(of(-2 * kDayS, -kDayS), INT64_MIN, INT64_MAX), "fits");
}

TEST_F(Lifetimes, of_a_ca_that_is_over_or_has_not_begun_issue_nothing) {
  const CertifiedKey over = make_odd({"", -2 * kDayS, -10, nullptr, true});
  const CertifiedKey early = make_odd({"", kDayS, 2 * kDayS, nullptr, true});
  EXPECT_EQ(issue_certificate(over, x_request).status(),
            invalid_argument("the CA has ended; make another in a new folder"));
  EXPECT_EQ(issue_certificate(early, x_request).status(),
            invalid_argument("the CA is not valid yet; look at this machine's clock"));
}

TEST_F(Lifetimes, do_not_save_a_pair_with_another_fault) {
  const CertifiedKey good = of(-10, kDayS);
  const CertifiedKey other = of(-10, kDayS);
  const CertifiedKey foreign_ca = make_ca(100).value();
  const CertifiedKey foreign = make_odd({kNames, -10, kDayS, &foreign_ca});
  const CertifiedKey itself = make_odd({kNames, -10, kDayS, nullptr});
  const CertifiedKey renamed =
      make_odd({"URI:tarn://router/r2,DNS:router.tarn", -10, kDayS, &x_ca});
  const CertifiedKey other_role =
      make_odd({"URI:tarn://server/r1,DNS:router.tarn", -10, kDayS, &x_ca});
  const CertifiedKey unreachable =
      make_odd({"URI:tarn://router/r1,DNS:localhost", -10, kDayS, &x_ca});
  const std::pair<CertifiedKey, const char*> rows[] = {
      {{good.certificate_pem, other.key_pem}, "the key is not the one of the certificate"},
      {foreign, "the certificate is not signed by the CA"},
      {itself, "the certificate is not signed by the CA"},
      {renamed, "the certificate names someone else"},
      {other_role, "the certificate names someone else"},
      {unreachable, "the certificate does not cover all hosts"},
      {{"", good.key_pem}, "certificate, key or CA is not in PEM"},
      {{good.certificate_pem, ""}, "certificate, key or CA is not in PEM"},
      {{good.key_pem, good.certificate_pem}, "certificate, key or CA is not in PEM"},
  };
  for (const auto& [pair, reason] : rows)
    EXPECT_EQ(why(pair, x_now_ms, x_now_ms), reason);
}

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    const bool has_memory = ::access("/dev/shm", W_OK) == 0;
    std::string pattern = (has_memory ? "/dev/shm/" : testing::TempDir()) + "tarn-life-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    x_path = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(x_path); }

  SecretsDir create() { return SecretsDir::create_all(x_path, x_options).value(); }
  std::string file(const std::string& name) const { return x_path + "/" + name; }
  CertifiedKey ca() const {
    return {read_secret_file(file("ca.pem"), Privacy::anyone).value(),
            read_secret_file(file("ca.key"), Privacy::owner).value()};
  }
  void put(const CertifiedKey& pair) {
    ASSERT_TRUE(write_secret_file(x_path, "router-r1.key", pair.key_pem).is_ok());
    ASSERT_TRUE(write_secret_file(x_path, "router-r1.pem", pair.certificate_pem).is_ok());
  }

  std::string x_path;
  Identity x_router = make_identity(Role::router, "r1").value();
  SecretsOptions x_options{{x_router}, {}, {}};
};

TEST_F(Folder, gives_no_certificate_of_another_ca_or_name) {
  const SecretsDir dir = create();
  const CertifiedKey foreign_ca = make_ca(100).value();
  put(make_odd({kNames, -10, kDayS, &foreign_ca}));
  EXPECT_EQ(
      dir.certificate(x_router).error(),
      corrupt(file("router-r1.pem") + ": the certificate is not signed by the CA; issue it anew"));
  const CertifiedKey own_ca = ca();
  put(make_odd({"URI:tarn://admin/r1,DNS:router.tarn", -10, kDayS, &own_ca}));
  EXPECT_EQ(dir.certificate(x_router).error(),
            corrupt(file("router-r1.pem") + ": the certificate names someone else; issue it anew"));
}

TEST_F(Folder, counts_the_days_that_are_left_in_whole_days) {
  const SecretsDir dir = create();
  const CertifiedKey signer = ca();
  put(make_odd({kNames, -10, 3 * kDayS, &signer}));
  const int64_t end_ms = certificate_end_ms(dir.certificate(x_router)->certificate_pem).value();
  const int64_t day_ms = kDayS * 1000;
  const std::pair<int64_t, int64_t> rows[] = {
      {end_ms - 3 * day_ms, 3}, {end_ms - day_ms, 1},      {end_ms - day_ms + 1, 0}, {end_ms, 0},
      {end_ms + 1, -1},         {end_ms + day_ms - 1, -1}, {end_ms + day_ms, -2}};
  for (const auto& [now_ms, days] : rows) {
    const Expiry soonest = dir.soonest_expiry(now_ms).value();
    EXPECT_EQ(soonest.file, "router-r1.pem");
    EXPECT_EQ(soonest.days, days) << now_ms - end_ms;
  }
}

}  // namespace
}  // namespace tarn::auth
