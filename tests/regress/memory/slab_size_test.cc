#include <gtest/gtest.h>

#include "common/base/units.h"
#include "common/memory/size_class.h"
#include "common/memory/slab_pool.h"

namespace tarn::memory {
namespace {

// A shelf of a size that is no multiple of a huge page was accepted, and no slab of it could ever
// be made: the pool's thread tried and warned ten times a second for as long as the server ran.
TEST(SlabPool, RefusesAShelfOfASizeThatNoSlabHas) {
  for (const uint64_t bytes : {kSlabBytesMin + 1, kSlabBytesMin + kMiB, kSlabBytesMax - 1}) {
    const auto pool = SlabPool::open({.shelves = {{kSlabBytesMin, 1}, {bytes, 1}}});
    ASSERT_FALSE(pool.has_value()) << bytes;
    EXPECT_EQ(pool.error().code(), Code::invalid_argument);
    EXPECT_NE(pool.error().message().find("steps of 2 MiB"), std::string::npos);
  }
}

}  // namespace
}  // namespace tarn::memory
