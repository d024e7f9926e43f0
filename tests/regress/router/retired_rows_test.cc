// A snapshot did not see that a server had left as long as its rows were not swept: the ranges
// counted as unchanged. When the server was back and marked as synced by then, a restarted router
// found blocks there that had gone in between, and no event would ever take them away again.
#include <gtest/gtest.h>

#include "tests/unit/router/index/snapshot_folder.h"

namespace tarn::index {
namespace {

TEST(RetiredRows, do_not_come_back_with_a_later_mark) {
  constexpr ServerId kOne{1};
  const SnapshotFolder folder("retired_rows");
  {
    IndexLife life(folder.path());
    const Handle before = life.index->attach(kOne);
    add(*life.index, before, block_of("c", 0));
    life.marks = {{kOne, {5}, 1, before}};
    ASSERT_TRUE(life.keeper->write().is_ok());
    // It leaves, loses the block meanwhile, and is taken in again, with nothing, before any sweep.
    life.index->retire(before);
    const Handle after = life.index->attach(kOne);
    life.marks = {{kOne, {5}, 2, after}};
    ASSERT_TRUE(life.keeper->write().is_ok());
    life.crash();
  }
  IndexLife life(folder.path());
  ASSERT_EQ(life.restored.size(), 1u);
  EXPECT_EQ(life.restored[0].sequence, 2u);
  EXPECT_EQ(Probe("c", 1).match(*life.index).matched, 0u);
  life.crash();
}

}  // namespace
}  // namespace tarn::index
