// HMAC-SHA256 (RFC 2104) by OpenSSL's digest alone: its own HMAC copies its context for each MAC,
// and allocates for it twice.
#include <algorithm>
#include <array>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "common/auth/secret.h"
#include "common/base/check.h"

namespace tarn::auth {
namespace {

constexpr size_t kDigestBlockBytes = 64;
constexpr uint8_t kInnerPad = 0x36;
constexpr uint8_t kOuterPad = 0x5c;
static_assert(kMacBytes == SHA256_DIGEST_LENGTH && kDigestBlockBytes == SHA256_CBLOCK);

using DigestBlock = std::array<uint8_t, kDigestBlockBytes>;

void begin(SHA256_CTX& digest, DigestBlock key, uint8_t pad) {
  for (uint8_t& byte : key)
    byte ^= pad;
  TARN_CHECK(SHA256_Init(&digest) == 1);
  TARN_CHECK(SHA256_Update(&digest, key.data(), key.size()) == 1);
  OPENSSL_cleanse(key.data(), key.size());
}

}  // namespace

// The digest after the key's first block, for each of the two rounds.
struct MacKey::State {
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    OPENSSL_cleanse(&inner, sizeof(inner));
    OPENSSL_cleanse(&outer, sizeof(outer));
  }

  SHA256_CTX inner{};
  SHA256_CTX outer{};
};

MacKey::MacKey(std::unique_ptr<State> state) : x_state(std::move(state)) {}
MacKey::MacKey(MacKey&& other) noexcept = default;
MacKey& MacKey::operator=(MacKey&& other) noexcept = default;
MacKey::~MacKey() = default;

Result<MacKey> MacKey::open(std::string_view key) {
  if (key.empty()) return invalid_argument("a MAC key has at least one byte");
  DigestBlock block{};
  if (key.size() > block.size()) {
    const auto* const bytes = reinterpret_cast<const uint8_t*>(key.data());
    TARN_CHECK(SHA256(bytes, key.size(), block.data()) != nullptr);
  } else {
    std::copy(key.begin(), key.end(), block.begin());
  }
  auto state = std::make_unique<State>();
  begin(state->inner, block, kInnerPad);
  begin(state->outer, block, kOuterPad);
  OPENSSL_cleanse(block.data(), block.size());
  return MacKey(std::move(state));
}

Mac MacKey::mac(Parts parts) {
  TARN_CHECK(x_state != nullptr);
  SHA256_CTX digest = x_state->inner;
  for (const std::string_view part : parts)
    TARN_CHECK(SHA256_Update(&digest, part.data(), part.size()) == 1);
  Mac inner;
  TARN_CHECK(SHA256_Final(inner.data(), &digest) == 1);
  digest = x_state->outer;
  TARN_CHECK(SHA256_Update(&digest, inner.data(), inner.size()) == 1);
  Mac mac;
  TARN_CHECK(SHA256_Final(mac.data(), &digest) == 1);
  return mac;
}

}  // namespace tarn::auth
