#pragma once

#include <cstdint>

#include "common/base/units.h"

namespace tarn::memory {

// Number of a slot size: 4 KiB, then four steps for each doubling, so that at most a fifth of a
// slot is unused (but for the smallest ones, which step by 4 KiB).
using SizeClass = uint32_t;

// The class whose slots are the smallest that hold `bytes`. Precondition: 1 <= bytes <=
// kBlockBytesMax.
SizeClass size_class_of(uint64_t bytes);

// Bytes of a slot of that class: a multiple of kPayloadAlignBytes.
uint64_t slot_bytes_of(SizeClass size_class);

// How many classes there are up to kBlockBytesMax.
uint32_t size_class_count();

// Bytes of the slab that holds slots of that class: a multiple of 2 MiB (a huge page), 18 MiB for
// all classes up to 16 MiB, one slot and its header for those above; 66 MiB at most.
uint64_t slab_bytes_of(SizeClass size_class);

// Bytes of a domain's first slab, which holds blocks of mixed sizes.
inline constexpr uint64_t kMixedSlabBytes = 4 * kMiB;
// Larger blocks never go to the mixed slab.
inline constexpr uint64_t kMixedBlockBytesMax = 256 * kKiB;
inline constexpr uint64_t kClassSlabBytes = 18 * kMiB;
inline constexpr uint64_t kSlabBytesMin = 4 * kMiB;
inline constexpr uint64_t kSlabBytesMax = 66 * kMiB;

}  // namespace tarn::memory
