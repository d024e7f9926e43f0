#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "common/auth/secret_file.h"
#include "common/auth/secrets_dir.h"
#include "common/base/clock.h"
#include "tests/unit/auth/odd_certificate.h"

namespace tarn::auth {
namespace {

constexpr long kDayS = 86'400;

// After a clock had been ahead, the folder held certificates that begin in the future. Every TLS
// handshake failed, and `tarn certs` said that all was there and left them.
TEST(Secrets, that_are_not_valid_yet_are_issued_anew) {
  const bool has_memory = ::access("/dev/shm", W_OK) == 0;
  std::string path = (has_memory ? "/dev/shm/" : testing::TempDir()) + "tarn-early-XXXXXX";
  ASSERT_NE(::mkdtemp(path.data()), nullptr);
  const Identity router = make_identity(Role::router, "r1").value();
  const SecretsOptions options{{router}, {}, {}};
  ASSERT_TRUE(SecretsDir::create_all(path, options).has_value());
  const CertifiedKey ca{read_secret_file(path + "/ca.pem", Privacy::anyone).value(),
                        read_secret_file(path + "/ca.key", Privacy::owner).value()};
  const std::string names = "URI:tarn://router/r1,DNS:router.tarn,DNS:localhost,IP:127.0.0.1";
  for (const auto& [begins, ends] :
       {std::pair<long, long>{50 * kDayS, 99 * kDayS}, {-2 * kDayS, -kDayS}}) {
    const CertifiedKey odd = make_odd({names, begins, ends, &ca});
    ASSERT_TRUE(write_secret_file(path, "router-r1.key", odd.key_pem).is_ok());
    ASSERT_TRUE(write_secret_file(path, "router-r1.pem", odd.certificate_pem).is_ok());
    const SecretsDir dir = SecretsDir::create_all(path, options).value();
    const CertifiedKey now = dir.certificate(router).value();
    EXPECT_NE(now.certificate_pem, odd.certificate_pem) << "begins in " << begins << " s";
    const int64_t now_ms = system_clock().unix_ms();
    const CertificateCheck life{ca.certificate_pem, now_ms, now_ms};
    EXPECT_TRUE(check_certificate(now, {router, {}, {}}, life).is_ok());
  }
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace tarn::auth
