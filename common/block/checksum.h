#pragma once

#include <cstddef>
#include <cstdint>

namespace tarn::block {

// Castagnoli's polynomial, bits reflected: the highest bit is the coefficient of x^0.
inline constexpr uint32_t kCastagnoli = 0x82f63b78;

// CRC32C (Castagnoli, reflected, initial value and final xor 0xffffffff) of `bytes` bytes, going on
// from the CRC of what came before: crc32c(crc32c(0, a), b) is the CRC of a then b, and 0 begins.
// Check value: crc32c(0, "123456789", 9) == 0xe3069283. The same numbers as iSCSI, ext4, RocksDB
// (unmasked) and the crc32 instruction of SSE4.2.
uint32_t crc32c(uint32_t crc_before, const void* data, size_t bytes);

// Copies, and returns the CRC32C of the bytes copied, going on from the CRC of what came before.
// One pass by the best kernel of this machine (copy_kernel.h), so that the bytes are read from
// memory once; large copies leave the caches alone. The CRC is that of what lies at the destination
// then, whoever writes to the source meanwhile. The ranges must not overlap.
uint32_t crc32c_copy(void* to, const void* from, size_t bytes, uint32_t crc_before = 0);

// The CRC32C of kSampleLines runs of 64 bytes, the first and the last among them and the others
// evenly between; of all bytes where these are no more. Tells bytes of another place or size
// apart, as one look, and says nothing of single bytes that have changed.
inline constexpr size_t kSampleLines = 16;
uint32_t sample_crc32c(const void* data, size_t bytes);

}  // namespace tarn::block
