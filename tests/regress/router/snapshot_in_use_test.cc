// A router that was started on the state folder of one that still ran threw that one's snapshot
// away under it: the folder was locked, which was taken for damage. The operator who had set two
// routers to one folder, or restarted one before it had ended, lost the snapshots of both.
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <string>

#include "router/index/snapshot_store.h"

namespace tarn::index {
namespace {

TEST(SnapshotInUse, is_left_to_who_has_it) {
  const std::string folder = testing::TempDir() + "snapshot_in_use_" + std::to_string(::getpid());
  std::filesystem::remove_all(folder);
  uint64_t seed = 0;
  {
    const auto first = SnapshotStore::open(folder);
    ASSERT_TRUE(first.has_value()) << first.status().to_string();
    seed = (*first)->seed();
    const auto second = SnapshotStore::open(folder);
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().code(), Code::unavailable);
    EXPECT_NE(second.error().message().find("state folder of its own"), std::string::npos)
        << second.error().message();
    const StreamMark mark{{1}, {5}, 7, 0};
    EXPECT_TRUE((*first)->write_marks({&mark, 1}).is_ok());
  }
  const auto again = SnapshotStore::open(folder);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ((*again)->seed(), seed);
  ASSERT_EQ((*again)->marks()->size(), 1u);
  EXPECT_EQ((*again)->marks()->at(0).sequence, 7u);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tarn::index
