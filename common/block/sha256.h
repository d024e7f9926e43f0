#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tarn::block {

using Digest256 = std::array<uint8_t, 32>;

// Who compresses the message blocks. Both give the same digests.
enum class Sha256Engine : uint8_t { scalar, x86_sha };

// x86_sha where the processor has the SHA extensions, else scalar. Decided once per process.
Sha256Engine best_sha256_engine();

// SHA-256 (FIPS 180-4) fed piece by piece. For names and block hashes, which are no secrets: it
// makes no promise about timing. A value type, one thread at a time. Life: update any number of
// times, then finish once. Limit: 2^61 bytes.
class Sha256 {
 public:
  // An engine that the processor lacks is replaced by scalar.
  explicit Sha256(Sha256Engine engine = best_sha256_engine());

  void update(const void* data, size_t bytes);
  void update(std::string_view bytes) { update(bytes.data(), bytes.size()); }

  // The digest of all bytes so far; the object is spent afterwards.
  Digest256 finish();

 private:
  void compress(const uint8_t* blocks, size_t count);

  std::array<uint32_t, 8> x_state;
  std::array<uint8_t, 64> x_pending{};
  size_t x_pending_bytes = 0;
  uint64_t x_total_bytes = 0;
  Sha256Engine x_engine;
  bool x_finished = false;
};

Digest256 sha256(std::string_view bytes);

}  // namespace tarn::block
