// The copy baseline: every block is checked, whichever way it goes.
#include "benchmarks/copy/copier.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <thread>

namespace tarn::copying {
namespace {

constexpr size_t kPoolBytes = 4 << 20;

class CopierTest : public testing::Test {
 protected:
  void SetUp() override {
    x_memfd = memfd_create("copier_test", MFD_CLOEXEC);
    ASSERT_GE(x_memfd, 0);
    ASSERT_EQ(ftruncate(x_memfd, kPoolBytes), 0);
    x_pool.emplace(Mapping::shared(x_memfd, kPoolBytes, true).value());
    for (size_t i = 0; i < kPoolBytes; ++i)
      x_pool->bytes()[i] = static_cast<std::byte>(i * 7 + i / 4096);
    x_copier = Copier::open(x_memfd, kPoolBytes).value();
  }
  void TearDown() override { close(x_memfd); }

  static copying::Run run_of(const std::string& words) { return report::parse_run(words).value(); }

  int x_memfd = -1;
  std::optional<Mapping> x_pool;
  std::unique_ptr<Copier> x_copier;
};

TEST_F(CopierTest, counts_whole_blocks_and_times_each) {
  for (const char* const words : {"run get 65536 1 crc 5", "run put 65536 8 crc 5",
                                  "run get 1000 3 nocrc 5", "run put 4194304 1 nocrc 5"}) {
    const copying::Run run = run_of(words);
    const auto slice = x_copier->run(run);
    ASSERT_TRUE(slice.has_value()) << words;
    EXPECT_GE(slice->blocks, run.inflight) << words;
    EXPECT_EQ(slice->bytes, slice->blocks * run.block_bytes) << words;
    EXPECT_EQ(slice->latency.count(), slice->blocks) << words;
    EXPECT_EQ(slice->errors, 0u) << words;
    EXPECT_GE(slice->wall_ns, 5'000'000) << words;
  }
}

TEST_F(CopierTest, notices_bytes_that_have_changed) {
  ASSERT_EQ(x_copier->run(run_of("run get 65536 4 crc 2"))->errors, 0u);
  for (size_t at = 100; at < kPoolBytes; at += 65536)  // in each block, however few it gets to
    x_pool->bytes()[at] ^= std::byte{1};
  EXPECT_GT(x_copier->run(run_of("run get 65536 4 crc 20"))->errors, 0u);
}

TEST_F(CopierTest, puts_end_in_the_other_process_s_memory) {
  std::memset(x_pool->bytes().data(), 0x55, kPoolBytes);
  ASSERT_EQ(x_copier->run(run_of("run put 4096 2 crc 20"))->errors, 0u);
  EXPECT_NE(x_pool->bytes()[0], std::byte{0x55});
}

TEST_F(CopierTest, refuses_what_does_not_fit) {
  EXPECT_EQ(x_copier->run(run_of("run get 1048576 5 crc 1")).status().code(),
            Code::invalid_argument);
  EXPECT_EQ(x_copier->run(run_of("run get 1048576 4 crc 1")).status().code(), Code::ok);
  EXPECT_EQ(x_copier->run(run_of("run get 16 257 crc 1")).status().code(), Code::invalid_argument);
}

TEST(CopyRun, is_read_from_one_line_and_from_no_other) {
  const auto run = report::parse_run("run put 2097152 8 nocrc 250");
  ASSERT_TRUE(run.has_value());
  EXPECT_TRUE(run->is_put);
  EXPECT_EQ(run->block_bytes, 2097152u);
  EXPECT_EQ(run->inflight, 8u);
  EXPECT_FALSE(run->is_checked);
  EXPECT_EQ(run->millis, 250);
  for (const char* const line : {"", "run", "walk get 1 1 crc 1", "run views 1 1 crc 1",
                                 "run get x 1 crc 1", "run get 1 1 sum 1", "run get 1 1 crc 0"}) {
    EXPECT_FALSE(report::parse_run(line).has_value()) << line;
  }
}

TEST(CopyPool, goes_from_its_owner_through_a_socket) {
  std::array<int, 2> ends{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  Status owned;
  std::thread owner([&] { owned = own_pool(ends[1], kPoolBytes); });
  const auto memfd = take_pool(ends[0]);
  ASSERT_TRUE(memfd.has_value());
  const auto copier = Copier::open(*memfd, kPoolBytes).value();
  EXPECT_EQ(copier->run(report::parse_run("run get 4096 1 crc 1").value())->errors, 0u);
  close(ends[0]);
  owner.join();
  EXPECT_TRUE(owned.is_ok());
  close(ends[1]);
  close(*memfd);
}

TEST(CopyPool, of_an_owner_that_has_gone_is_unavailable) {
  std::array<int, 2> ends{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  close(ends[1]);
  EXPECT_EQ(take_pool(ends[0]).status().code(), Code::unavailable);
  close(ends[0]);
}

}  // namespace
}  // namespace tarn::copying
