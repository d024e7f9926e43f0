#include "common/fabric/ucx_address.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/fabric/ucx_settings.h"

namespace tarn::fabric {
namespace {

const UcxIdentity kOurs{"ucx", "1.13.1", "tcp tx_seg=256K rx_seg=256K"};

TEST(UcxAddress, ComesBackAsItWentIn) {
  const std::string raw("\0worker\xff", 8);
  EXPECT_EQ(unwrap_ucx_address(kOurs, wrap_ucx_address(kOurs, raw)).value(), raw);
}

TEST(UcxAddress, AMismatchIsSaidInWords) {
  for (const auto& [theirs, word] :
       {std::pair<UcxIdentity, std::string>{{"ucx_shm", "1.13.1", kOurs.settings}, "kind"},
        {{"ucx", "1.22.0", kOurs.settings}, "1.22.0"},
        {{"ucx", "1.13.1", "tcp tx_seg=1M rx_seg=1M"}, "tx_seg=1M"}}) {
    const auto result = unwrap_ucx_address(kOurs, wrap_ucx_address(theirs, "x"));
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code(), Code::unsupported);
    EXPECT_NE(result.error().message().find(word), std::string::npos) << result.error().message();
  }
}

TEST(UcxAddress, EveryDamageIsFound) {
  const std::string good = wrap_ucx_address(kOurs, "worker address");
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    EXPECT_EQ(unwrap_ucx_address(kOurs, bad).status().code(), Code::invalid_argument) << i;
    EXPECT_EQ(unwrap_ucx_address(kOurs, good.substr(0, i)).status().code(), Code::invalid_argument);
  }
  EXPECT_EQ(unwrap_ucx_address(kOurs, good + "x").status().code(), Code::invalid_argument);
  EXPECT_EQ(unwrap_ucx_address(kOurs, wrap_ucx_address(kOurs, "")).status().code(),
            Code::invalid_argument);
}

TEST(UcxSettings, TellWhatBothSidesMustShare) {
  EXPECT_EQ(settings_fingerprint(Kind::ucx, "lo"), "tcp tx_seg=256K rx_seg=256K");
  EXPECT_EQ(settings_fingerprint(Kind::ucx, "eth0"), settings_fingerprint(Kind::ucx, "lo"));
  EXPECT_NE(settings_fingerprint(Kind::ucx_shm, ""), settings_fingerprint(Kind::ucx, "lo"));
  EXPECT_NE(settings_fingerprint(Kind::ucx, "mlx5_0:1"), settings_fingerprint(Kind::ucx, "lo"));
  const std::string version = ucx_version();
  EXPECT_EQ(std::count(version.begin(), version.end(), '.'), 2) << version;
  EXPECT_EQ(host_fingerprint(), host_fingerprint());
  EXPECT_GT(host_fingerprint().size(), 36u);
}

}  // namespace
}  // namespace tarn::fabric
