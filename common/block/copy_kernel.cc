#include "common/block/copy_kernel.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "common/base/check.h"
#include "common/block/checksum.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tarn::block {
namespace {

// Small enough to stay in the first-level cache between the copy and the CRC.
constexpr size_t kPortableStepBytes = 4096;

uint32_t copy_portable(std::byte* to, const std::byte* from, size_t bytes, uint32_t crc) {
  while (bytes > 0) {
    const size_t step = std::min(bytes, kPortableStepBytes);
    std::memcpy(to, from, step);
    crc = crc32c(crc, to, step);
    to += step;
    from += step;
    bytes -= step;
  }
  return crc;
}

#if defined(__x86_64__)

// Where non-temporal stores may begin: one line of the cache.
constexpr size_t kLineBytes = 64;

// x^power modulo the polynomial, reflected: bit 31 is x^0.
constexpr uint32_t power_of_x(uint32_t power) {
  uint32_t value = 0x80000000;
  for (; power > 0; --power)
    value = (value >> 1) ^ ((value & 1) != 0 ? kCastagnoli : 0);
  return value;
}

// Factors that carry 16 bytes of the message `bits` further on: of their first 8 bytes, and of
// their last. From "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ" (Intel, 2009),
// whose shift by one makes up for the bit that a reflected product of 64 bits lacks.
constexpr int64_t first_factor(uint32_t bits) {
  return static_cast<int64_t>(uint64_t{power_of_x(bits + 32)} << 1);
}
constexpr int64_t last_factor(uint32_t bits) {
  return static_cast<int64_t>(uint64_t{power_of_x(bits - 32)} << 1);
}

// What a folding kernel is given. `to` is aligned to kLineBytes; `bytes` is a multiple of the
// kernel's kFold...Bytes, and not 0.
struct Run {
  std::byte* to;
  const std::byte* from;
  size_t bytes;
};

// Both kernels fold the message into four accumulators; what is left in them at the end has the
// same CRC as all that went in, and is short enough for the ordinary one.
uint32_t crc_of_rest(const std::byte* rest, size_t bytes) {
  // From the state 0, as the state before is folded in.
  return crc32c(~uint32_t{0}, rest, bytes);
}

constexpr size_t kFold512Bytes = 256;

__attribute__((target("avx512f,vpclmulqdq"))) uint32_t fold_512(const Run& run, uint32_t crc) {
  constexpr uint32_t kBits = kFold512Bytes * 8;
  constexpr int64_t kFirst = first_factor(kBits);
  constexpr int64_t kLast = last_factor(kBits);
  const __m512i k = _mm512_set_epi64(kLast, kFirst, kLast, kFirst, kLast, kFirst, kLast, kFirst);
  const auto load = [&](size_t at) __attribute__((target("avx512f"), always_inline)) {
    return _mm512_loadu_si512(run.from + at);
  };
  const auto store = [&](size_t at, __m512i value)
      __attribute__((target("avx512f"), always_inline)) {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(run.to + at), value);
  };
  const auto fold = [&](__m512i sum, __m512i next)
      __attribute__((target("avx512f,vpclmulqdq"), always_inline)) {
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(sum, k, 0x00),
                                     _mm512_clmulepi64_epi128(sum, k, 0x11), next, 0x96);
  };
  __m512i a = load(0);
  __m512i b = load(64);
  __m512i c = load(128);
  __m512i d = load(192);
  store(0, a);
  store(64, b);
  store(128, c);
  store(192, d);
  a = _mm512_xor_si512(a, _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(~crc))));
  for (size_t at = kFold512Bytes; at < run.bytes; at += kFold512Bytes) {
    const __m512i next_a = load(at);
    const __m512i next_b = load(at + 64);
    const __m512i next_c = load(at + 128);
    const __m512i next_d = load(at + 192);
    store(at, next_a);
    store(at + 64, next_b);
    store(at + 128, next_c);
    store(at + 192, next_d);
    a = fold(a, next_a);
    b = fold(b, next_b);
    c = fold(c, next_c);
    d = fold(d, next_d);
  }
  _mm_sfence();
  alignas(64) std::byte rest[kFold512Bytes];
  _mm512_store_si512(rest, a);
  _mm512_store_si512(rest + 64, b);
  _mm512_store_si512(rest + 128, c);
  _mm512_store_si512(rest + 192, d);
  return crc_of_rest(rest, sizeof(rest));
}

constexpr size_t kFold256Bytes = 64;

__attribute__((target("avx2,pclmul"))) uint32_t fold_256(const Run& run, uint32_t crc) {
  constexpr uint32_t kBits = kFold256Bytes * 8;
  const __m128i k = _mm_set_epi64x(last_factor(kBits), first_factor(kBits));
  const auto load = [&](size_t at) __attribute__((target("avx2"), always_inline)) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(run.from + at));
  };
  const auto store = [&](size_t at, __m256i value) __attribute__((target("avx2"), always_inline)) {
    _mm256_stream_si256(reinterpret_cast<__m256i*>(run.to + at), value);
  };
  const auto fold = [&](__m128i sum, __m128i next)
      __attribute__((target("avx2,pclmul"), always_inline)) {
    const __m128i first = _mm_clmulepi64_si128(sum, k, 0x00);
    const __m128i last = _mm_clmulepi64_si128(sum, k, 0x11);
    return _mm_xor_si128(_mm_xor_si128(first, last), next);
  };
  __m256i front = load(0);
  __m256i back = load(32);
  store(0, front);
  store(32, back);
  __m128i a = _mm256_castsi256_si128(front);
  __m128i b = _mm256_extracti128_si256(front, 1);
  __m128i c = _mm256_castsi256_si128(back);
  __m128i d = _mm256_extracti128_si256(back, 1);
  a = _mm_xor_si128(a, _mm_cvtsi32_si128(static_cast<int>(~crc)));
  for (size_t at = kFold256Bytes; at < run.bytes; at += kFold256Bytes) {
    front = load(at);
    back = load(at + 32);
    store(at, front);
    store(at + 32, back);
    a = fold(a, _mm256_castsi256_si128(front));
    b = fold(b, _mm256_extracti128_si256(front, 1));
    c = fold(c, _mm256_castsi256_si128(back));
    d = fold(d, _mm256_extracti128_si256(back, 1));
  }
  _mm_sfence();
  alignas(16) std::byte rest[kFold256Bytes];
  _mm_store_si128(reinterpret_cast<__m128i*>(rest), a);
  _mm_store_si128(reinterpret_cast<__m128i*>(rest + 16), b);
  _mm_store_si128(reinterpret_cast<__m128i*>(rest + 32), c);
  _mm_store_si128(reinterpret_cast<__m128i*>(rest + 48), d);
  return crc_of_rest(rest, sizeof(rest));
}

// The part that a folding kernel takes, between what lies before the first whole line of the
// destination and what is left at the end.
uint32_t copy_folding(CopyKernel kernel, std::span<std::byte> to, const std::byte* from,
                      uint32_t crc) {
  const size_t misaligned = reinterpret_cast<uintptr_t>(to.data()) % kLineBytes;
  const size_t head = std::min(to.size(), misaligned == 0 ? 0 : kLineBytes - misaligned);
  crc = copy_portable(to.data(), from, head, crc);
  const size_t unit = kernel == CopyKernel::avx512 ? kFold512Bytes : kFold256Bytes;
  const Run run{to.data() + head, from + head, (to.size() - head) / unit * unit};
  if (run.bytes > 0) crc = kernel == CopyKernel::avx512 ? fold_512(run, crc) : fold_256(run, crc);
  return copy_portable(run.to + run.bytes, run.from + run.bytes, to.size() - head - run.bytes, crc);
}

#endif

CopyKernel best_kernel() {
  CopyKernel best = CopyKernel::portable;
  for (const CopyKernel kernel : kCopyKernels) {
    if (has_kernel(kernel)) best = kernel;
  }
  return best;
}

std::atomic<CopyKernel>& chosen_kernel() {
  static std::atomic<CopyKernel> chosen{best_kernel()};
  return chosen;
}

}  // namespace

std::string_view kernel_name(CopyKernel kernel) {
  switch (kernel) {
    case CopyKernel::portable:
      return "portable";
    case CopyKernel::avx2:
      return "avx2";
    case CopyKernel::avx512:
      return "avx512";
  }
  return "unknown";
}

bool has_kernel(CopyKernel kernel) {
#if defined(__x86_64__)
  if (kernel == CopyKernel::avx2) {
    return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("pclmul") != 0;
  }
  if (kernel == CopyKernel::avx512) {
    return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("vpclmulqdq") != 0;
  }
#endif
  return kernel == CopyKernel::portable;
}

CopyKernel copy_kernel() {
  return chosen_kernel().load(std::memory_order_relaxed);
}

void force_copy_kernel(CopyKernel kernel) {
  TARN_CHECK(has_kernel(kernel));
  chosen_kernel().store(kernel, std::memory_order_relaxed);
}

uint32_t crc32c_copy_by(CopyKernel kernel, std::span<std::byte> to, const void* from,
                        uint32_t crc_before) {
  const auto* source = static_cast<const std::byte*>(from);
  TARN_DCHECK(to.empty() || to.data() + to.size() <= source || source + to.size() <= to.data());
#if defined(__x86_64__)
  if (kernel != CopyKernel::portable) return copy_folding(kernel, to, source, crc_before);
#endif
  return copy_portable(to.data(), source, to.size(), crc_before);
}

}  // namespace tarn::block
