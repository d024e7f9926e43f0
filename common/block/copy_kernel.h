#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace tarn::block {

// Ways to copy bytes and to take their CRC32C in one pass. All give the same bytes and the same
// number. The vector kernels checksum what they have loaded and store that, past the caches: a
// writer who changes the source meanwhile cannot come between checksum and copy.
enum class CopyKernel : uint8_t {
  portable,  // memcpy and crc32c() in turn, in steps of 4 KiB
  avx2,      // carry-less products of 16 bytes, stores of 32
  avx512,    // both of 64 bytes
};
inline constexpr std::array kCopyKernels = {CopyKernel::portable, CopyKernel::avx2,
                                            CopyKernel::avx512};

// "portable", "avx2", "avx512".
std::string_view kernel_name(CopyKernel kernel);

// Have the processor and the operating system what it needs?
bool has_kernel(CopyKernel kernel);

// What crc32c_copy() uses for large copies: the last of kCopyKernels that this machine has, or what
// a test or benchmark has forced. Thread-safe.
CopyKernel copy_kernel();
// Precondition: has_kernel(kernel).
void force_copy_kernel(CopyKernel kernel);

// crc32c_copy() by one kernel, whatever the size. Precondition: has_kernel(kernel).
uint32_t crc32c_copy_by(CopyKernel kernel, std::span<std::byte> to, const void* from,
                        uint32_t crc_before);

}  // namespace tarn::block
