#include "common/block/sha256.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "common/base/check.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace tarn::block {
namespace {

constexpr size_t kBlockBytes = 64;

alignas(16) constexpr std::array<uint32_t, 64> kRound = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t load_be32(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | uint32_t{p[3]};
}

void store_be32(uint8_t* p, uint32_t v) {
  p[0] = static_cast<uint8_t>(v >> 24);
  p[1] = static_cast<uint8_t>(v >> 16);
  p[2] = static_cast<uint8_t>(v >> 8);
  p[3] = static_cast<uint8_t>(v);
}

// The message schedule W of FIPS 180-4, 6.2.2 step 1.
std::array<uint32_t, 64> expand(const uint8_t* block) {
  std::array<uint32_t, 64> w;
  for (size_t i = 0; i < 16; ++i)
    w[i] = load_be32(block + 4 * i);
  for (size_t i = 16; i < 64; ++i) {
    const uint32_t a = w[i - 15], b = w[i - 2];
    const uint32_t s0 = std::rotr(a, 7) ^ std::rotr(a, 18) ^ (a >> 3);
    const uint32_t s1 = std::rotr(b, 17) ^ std::rotr(b, 19) ^ (b >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  return w;
}

void compress_scalar(std::array<uint32_t, 8>& state, const uint8_t* block) {
  const std::array<uint32_t, 64> w = expand(block);
  auto [a, b, c, d, e, f, g, h] = state;
  for (size_t i = 0; i < 64; ++i) {
    const uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
    const uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + kRound[i] + w[i];
    const uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
    const uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  const std::array<uint32_t, 8> after = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < 8; ++i)
    state[i] += after[i];
}

#if defined(__x86_64__)

#define TARN_TARGET_SHA __attribute__((target("sha,sse4.1,ssse3")))

// Four rounds; `w` holds W[4i..4i+3].
TARN_TARGET_SHA inline void four_rounds(__m128i& abef, __m128i& cdgh, __m128i w, size_t i) {
  const auto* k = reinterpret_cast<const __m128i*>(kRound.data() + 4 * i);
  const __m128i wk = _mm_add_epi32(w, _mm_load_si128(k));
  cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
  abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));
}

// W[t..t+3] from the sixteen words before it, oldest first.
TARN_TARGET_SHA inline __m128i next_words(const __m128i* w) {
  const __m128i sum =
      _mm_add_epi32(_mm_sha256msg1_epu32(w[0], w[1]), _mm_alignr_epi8(w[3], w[2], 4));
  return _mm_sha256msg2_epu32(sum, w[3]);
}

TARN_TARGET_SHA void compress_x86_sha(std::array<uint32_t, 8>& state, const uint8_t* block) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  auto* words = reinterpret_cast<__m128i*>(state.data());
  // The instructions want the state as ABEF and CDGH, from the high word down.
  const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(words), 0xb1);
  const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(words + 1), 0x1b);
  const __m128i abef_before = _mm_alignr_epi8(cdab, efgh, 8);
  const __m128i cdgh_before = _mm_blend_epi16(efgh, cdab, 0xf0);
  __m128i abef = abef_before, cdgh = cdgh_before;
  __m128i w[4];
  for (size_t i = 0; i < 16; ++i) {
    if (i < 4) {
      const auto* from = reinterpret_cast<const __m128i*>(block) + i;
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128(from), swap);
      four_rounds(abef, cdgh, w[i], i);
      continue;
    }
    const __m128i next = next_words(w);
    w[0] = w[1];
    w[1] = w[2];
    w[2] = w[3];
    w[3] = next;
    four_rounds(abef, cdgh, next, i);
  }
  const __m128i feba = _mm_shuffle_epi32(_mm_add_epi32(abef, abef_before), 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(_mm_add_epi32(cdgh, cdgh_before), 0xb1);
  _mm_storeu_si128(words, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(words + 1, _mm_alignr_epi8(dchg, feba, 8));
}

// g++ 12's __builtin_cpu_supports does not know "sha": CPUID leaf 7, EBX bit 29 says it.
bool has_x86_sha() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  return (ebx >> 29 & 1) != 0 && __builtin_cpu_supports("sse4.1") != 0 &&
         __builtin_cpu_supports("ssse3") != 0;
}

#else

void compress_x86_sha(std::array<uint32_t, 8>& state, const uint8_t* block) {
  compress_scalar(state, block);
}

bool has_x86_sha() {
  return false;
}

#endif

}  // namespace

Sha256Engine best_sha256_engine() {
  static const Sha256Engine best = has_x86_sha() ? Sha256Engine::x86_sha : Sha256Engine::scalar;
  return best;
}

Sha256::Sha256(Sha256Engine engine)
    : x_state{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
              0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19},
      x_engine(best_sha256_engine() == Sha256Engine::scalar ? Sha256Engine::scalar : engine) {}

void Sha256::compress(const uint8_t* blocks, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (x_engine == Sha256Engine::x86_sha) {
      compress_x86_sha(x_state, blocks + i * kBlockBytes);
    } else {
      compress_scalar(x_state, blocks + i * kBlockBytes);
    }
  }
}

void Sha256::update(const void* data, size_t bytes) {
  TARN_CHECK(!x_finished);
  if (bytes == 0) return;
  const auto* from = static_cast<const uint8_t*>(data);
  x_total_bytes += bytes;
  if (x_pending_bytes > 0) {
    const size_t taken = std::min(bytes, kBlockBytes - x_pending_bytes);
    std::memcpy(x_pending.data() + x_pending_bytes, from, taken);
    x_pending_bytes += taken;
    from += taken;
    bytes -= taken;
    if (x_pending_bytes < kBlockBytes) return;
    compress(x_pending.data(), 1);
  }
  compress(from, bytes / kBlockBytes);
  x_pending_bytes = bytes % kBlockBytes;
  std::memcpy(x_pending.data(), from + bytes - x_pending_bytes, x_pending_bytes);
}

Digest256 Sha256::finish() {
  const uint64_t total_bits = x_total_bytes * 8;
  const std::array<uint8_t, kBlockBytes> padding = {0x80};
  const size_t used = x_pending_bytes;
  update(padding.data(), used < 56 ? 56 - used : 120 - used);
  std::array<uint8_t, 8> length;
  store_be32(length.data(), static_cast<uint32_t>(total_bits >> 32));
  store_be32(length.data() + 4, static_cast<uint32_t>(total_bits));
  update(length.data(), length.size());
  TARN_CHECK(x_pending_bytes == 0);
  x_finished = true;
  Digest256 digest;
  for (size_t i = 0; i < x_state.size(); ++i)
    store_be32(digest.data() + 4 * i, x_state[i]);
  return digest;
}

Digest256 sha256(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

}  // namespace tarn::block
