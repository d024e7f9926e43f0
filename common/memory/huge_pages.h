#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/units.h"

namespace tarn::memory {

inline constexpr uint64_t kHugePageBytes = 2 * kMiB;

// Maps all of `fd` for reading and writing, shared, at an address where huge pages fit. Empty, and
// errno says why, where the system refuses. Undone by munmap().
std::span<std::byte> map_aligned(int fd, uint64_t bytes);

// Has the kernel make huge pages of shared memory now, fresh or in use: bytes stay as they are.
// Linux gives shared memory none by default (/sys/kernel/mm/transparent_hugepage/shmem_enabled),
// but where it is asked for them by name, from 6.1 on. Without them a copy that the kernel makes
// out of a block pins it 4 KiB by 4 KiB. Blocks: 1 to 2 ms for each 2 MiB. False where there are
// none; the memory is as good as before then.
bool make_huge(std::span<std::byte> memory);

}  // namespace tarn::memory
