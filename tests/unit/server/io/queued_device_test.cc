#include "server/io/queued_device.h"

#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "tests/unit/server/io/fault_device.h"
#include "tests/unit/server/io/io_fixture.h"

namespace tarn::io {
namespace {

class QueuedDeviceTest : public testing::Test {
 protected:
  ~QueuedDeviceTest() override { fault::disarm_all(); }

  ManualClock x_clock;
  std::shared_ptr<DiskImage> x_image = std::make_shared<DiskImage>(64 * kMiB);
  FaultDevice x_device{x_image, x_clock};
};

TEST_F(QueuedDeviceTest, large_operations_go_in_pieces_and_come_back_whole) {
  const PageBuffer out = filled(9 * kMiB + 4096, 1);
  PageBuffer in(9 * kMiB + 4096);
  ASSERT_TRUE(write_now(x_device, 8192, out).is_ok());
  for (const IoPiece& piece : x_device.seen())
    EXPECT_LE(piece.bytes, kMiB);
  ASSERT_TRUE(read_now(x_device, 8192, in).is_ok());
  EXPECT_TRUE(same(in, out));
}

TEST_F(QueuedDeviceTest, what_cannot_be_is_refused_and_not_told) {
  PageBuffer page(8192);
  Outcome outcome;
  const auto read = [&](uint64_t offset, std::span<std::byte> into) {
    return x_device.read(offset, into, outcome.options(), outcome.done()).code();
  };
  EXPECT_EQ(read(512, page.bytes()), Code::invalid_argument);
  EXPECT_EQ(read(0, page.bytes().subspan(512, 4096)), Code::invalid_argument);
  EXPECT_EQ(read(0, page.bytes().first(512)), Code::invalid_argument);
  EXPECT_EQ(read(0, {}), Code::invalid_argument);
  EXPECT_EQ(read(64 * kMiB - 4096, page.bytes()), Code::invalid_argument);
  EXPECT_EQ(read(UINT64_MAX - 4095, page.bytes()), Code::invalid_argument);
  EXPECT_TRUE(x_device.is_idle());
  EXPECT_FALSE(outcome.status.has_value());
}

TEST_F(QueuedDeviceTest, a_full_queue_is_overloaded) {
  DeviceLimits limits;
  limits.operations_max = 2;
  FaultDevice device(x_image, x_clock, limits);
  PageBuffer page(4096);
  Outcome outcomes[3];
  for (int i = 0; i < 3; ++i) {
    const Status taken = device.read(0, page.bytes(), outcomes[i].options(), outcomes[i].done());
    EXPECT_EQ(taken.code(), i < 2 ? Code::ok : Code::overloaded);
  }
  run(device);
}

TEST_F(QueuedDeviceTest, errors_have_errno_and_offset) {
  PageBuffer page(4096);
  x_device.fail(IoKind::read, Fault::error);
  const Status status = read_now(x_device, 12288, page);
  EXPECT_EQ(status.code(), Code::unavailable);
  EXPECT_NE(status.message().find("read of 4096 bytes at 12288"), std::string::npos);
  EXPECT_NE(status.message().find("errno 5"), std::string::npos);
  x_device.fail(IoKind::write, Fault::no_space);
  EXPECT_EQ(write_now(x_device, 0, page).code(), Code::overloaded);
  EXPECT_EQ(x_device.health().errors, 2u);
}

TEST_F(QueuedDeviceTest, a_part_is_gone_on_with_and_an_end_is_an_error) {
  const PageBuffer out = filled(kMiB, 2);
  PageBuffer in(kMiB);
  x_device.fail(IoKind::write, Fault::part);
  x_device.fail(IoKind::write, Fault::again, 1);
  ASSERT_TRUE(write_now(x_device, 0, out).is_ok());
  x_device.fail(IoKind::read, Fault::part);
  ASSERT_TRUE(read_now(x_device, 0, in).is_ok());
  EXPECT_TRUE(same(in, out));
  x_device.fail(IoKind::read, Fault::ends);
  EXPECT_EQ(read_now(x_device, 0, in).code(), Code::corrupt);
  for (uint64_t i = 0; i < 100; ++i)
    x_device.fail(IoKind::read, Fault::again, i);
  EXPECT_EQ(read_now(x_device, 0, in).code(), Code::unavailable) << "it must not try for ever";
}

TEST_F(QueuedDeviceTest, an_error_in_one_piece_ends_the_rest) {
  const PageBuffer out = filled(8 * kMiB, 3);
  x_device.fail(IoKind::write, Fault::error, 1);
  EXPECT_EQ(write_now(x_device, 0, out).code(), Code::unavailable);
  EXPECT_LT(x_device.seen().size(), 8u);
}

TEST_F(QueuedDeviceTest, a_deadline_tells_and_the_memory_stays_pinned) {
  PageBuffer page(4096);
  Outcome late, queued;
  x_device.freeze();
  ASSERT_TRUE(x_device
                  .read(0, page.bytes(), late.options(IoQueue::read, x_clock.now() + Millis(10)),
                        late.done())
                  .is_ok());
  EXPECT_EQ(x_device.next_deadline(), x_clock.now() + Millis(10));
  x_device.poll();
  EXPECT_FALSE(late.status.has_value());
  x_clock.advance(Millis(10));
  EXPECT_EQ(x_device.poll(), 1u);
  EXPECT_EQ(late.code(), Code::deadline_exceeded);
  EXPECT_EQ(late.freed, 0);
  EXPECT_EQ(x_device.health().late, 1u);
  EXPECT_EQ(x_device.health().late_bytes, 4096u);
  x_device.thaw();
  run(x_device);
  EXPECT_EQ(late.freed, 1);
  EXPECT_EQ(x_device.health().late, 0u);
}

TEST_F(QueuedDeviceTest, what_has_not_begun_by_its_deadline_never_does) {
  DeviceLimits limits;
  limits.depth = 1;
  FaultDevice device(x_image, x_clock, limits);
  PageBuffer page(4096);
  Outcome first, second;
  device.freeze();
  ASSERT_TRUE(device.read(0, page.bytes(), first.options(), first.done()).is_ok());
  ASSERT_TRUE(device
                  .read(4096, page.bytes(),
                        second.options(IoQueue::read, x_clock.now() + Millis(1)), second.done())
                  .is_ok());
  device.poll();
  x_clock.advance(Millis(1));
  device.poll();
  EXPECT_EQ(second.code(), Code::deadline_exceeded);
  EXPECT_EQ(second.freed, 1);
  device.thaw();
  run(device);
  EXPECT_EQ(device.seen().size(), 1u);
}

TEST_F(QueuedDeviceTest, a_flush_waits_for_the_writes_before_it) {
  const PageBuffer out = filled(4 * kMiB, 4);
  Outcome write, flush;
  ASSERT_TRUE(
      x_device.write(0, out.bytes(), write.options(IoQueue::destage), write.done()).is_ok());
  ASSERT_TRUE(x_device.flush(flush.options(), flush.done()).is_ok());
  run(x_device);
  EXPECT_EQ(flush.code(), Code::ok);
  EXPECT_EQ(x_device.seen().back().kind, IoKind::flush);
  std::mt19937_64 random(1);
  x_image->cut_power(random);
  EXPECT_TRUE(std::equal(out.bytes().begin(), out.bytes().end(), x_image->seen().begin()));
}

TEST_F(QueuedDeviceTest, flushes_that_wait_together_share_one) {
  Outcome flushes[4];
  for (Outcome& each : flushes)
    ASSERT_TRUE(x_device.flush(each.options(), each.done()).is_ok());
  run(x_device);
  for (const Outcome& each : flushes)
    EXPECT_EQ(each.code(), Code::ok);
  EXPECT_EQ(x_device.seen().size(), 1u);
}

TEST_F(QueuedDeviceTest, after_a_failed_flush_nothing_is_written_and_reads_go_on) {
  const PageBuffer out = filled(4096, 5);
  PageBuffer in(4096);
  ASSERT_TRUE(write_now(x_device, 0, out).is_ok());
  x_device.fail(IoKind::flush, Fault::error);
  EXPECT_EQ(flush_now(x_device).code(), Code::unavailable);
  EXPECT_EQ(flush_now(x_device).code(), Code::unavailable);
  EXPECT_EQ(write_now(x_device, 0, out).code(), Code::unavailable);
  EXPECT_FALSE(x_device.health().writable.is_ok());
  EXPECT_TRUE(read_now(x_device, 0, in).is_ok());
}

TEST_F(QueuedDeviceTest, writes_that_wait_end_with_the_flush_that_failed) {
  const PageBuffer out = filled(16 * kMiB, 6);
  Outcome flush, write;
  x_device.fail(IoKind::flush, Fault::error);
  ASSERT_TRUE(x_device.flush(flush.options(), flush.done()).is_ok());
  ASSERT_TRUE(
      x_device.write(0, out.bytes(), write.options(IoQueue::destage), write.done()).is_ok());
  run(x_device);
  EXPECT_EQ(flush.code(), Code::unavailable);
  EXPECT_EQ(write.code(), Code::unavailable);
  EXPECT_LT(x_device.seen().size(), 16u);
}

TEST_F(QueuedDeviceTest, a_read_finds_no_more_than_a_mebibyte_of_writes_ahead_of_it) {
  const PageBuffer out = filled(32 * kMiB, 7);
  PageBuffer in(4096);
  Outcome write, read;
  x_device.end_at_most(1);
  ASSERT_TRUE(x_device.read(0, in.bytes(), read.options(), read.done()).is_ok());
  ASSERT_TRUE(
      x_device.write(0, out.bytes(), write.options(IoQueue::destage), write.done()).is_ok());
  uint64_t most = 0, ended = 0;
  while (!x_device.is_idle()) {
    x_device.poll();
    uint64_t begun = 0;
    for (const IoPiece& piece : x_device.seen())
      begun += piece.kind == IoKind::write ? 1 : 0;
    const uint64_t flying = x_device.health().in_flight;
    most = std::max(most, flying);
    ended = begun;
  }
  EXPECT_EQ(ended, 32u);
  EXPECT_LE(most, 2u) << "the clock stands still, so the reader is not forgotten";
}

TEST_F(QueuedDeviceTest, reads_and_writes_share_by_weight_and_none_starves) {
  DeviceLimits limits;
  limits.depth = 1;
  FaultDevice device(x_image, x_clock, limits);
  device.end_at_most(1);
  PageBuffer in(kMiB);
  const PageBuffer out = filled(kMiB, 8);
  std::vector<Outcome> outcomes(120);
  for (size_t i = 0; i < 60; ++i) {
    Outcome& read = outcomes[i];
    Outcome& write = outcomes[60 + i];
    ASSERT_TRUE(device.read(0, in.bytes(), read.options(), read.done()).is_ok());
    ASSERT_TRUE(
        device.write(0, out.bytes(), write.options(IoQueue::destage), write.done()).is_ok());
  }
  run(device);
  size_t writes = 0;
  for (size_t i = 0; i < 55; ++i)
    writes += device.seen()[i].kind == IoKind::write ? 1 : 0;
  EXPECT_NEAR(static_cast<double>(writes), 15, 1) << "3 of 11";
}

TEST_F(QueuedDeviceTest, fault_points_fail_what_the_drive_has_done) {
  PageBuffer page(4096);
  fault::arm("io.read", {});
  EXPECT_EQ(read_now(x_device, 0, page).code(), Code::unavailable);
  fault::arm("io.write", {});
  EXPECT_EQ(write_now(x_device, 0, page).code(), Code::unavailable);
  fault::arm("io.discard", {});
  Outcome discard;
  ASSERT_TRUE(x_device.discard(0, 4096, discard.options(), discard.done()).is_ok());
  run(x_device);
  EXPECT_EQ(discard.code(), Code::unavailable);
  fault::arm("io.flush", {});
  EXPECT_EQ(flush_now(x_device).code(), Code::unavailable);
}

TEST_F(QueuedDeviceTest, closing_cancels_what_waits) {
  PageBuffer page(4096);
  Outcome outcome;
  {
    FaultDevice device(x_image, x_clock);
    ASSERT_TRUE(device.read(0, page.bytes(), outcome.options(), outcome.done()).is_ok());
  }
  EXPECT_EQ(outcome.code(), Code::cancelled);
  EXPECT_EQ(outcome.freed, 1);
}

TEST_F(QueuedDeviceTest, random_work_on_a_bad_drive_ends_once_each) {
  std::mt19937_64 random(9);
  FaultDevice device(x_image, x_clock);
  std::vector<Outcome> outcomes(1000);
  PageBuffer memory(kMiB);
  for (Outcome& each : outcomes) {
    if (random() % 5 == 0)
      device.fail(IoKind::read, static_cast<Fault>(random() % 9), random() % 9);
    if (random() % 5 == 0)
      device.fail(IoKind::write, static_cast<Fault>(random() % 9), random() % 9);
    if (random() % 50 == 0) device.freeze();
    if (random() % 10 == 0) device.thaw();
    x_clock.advance(Micros(random() % 500));
    const uint64_t bytes = kIoAlignBytes * (1 + random() % 256);
    const Instant deadline = x_clock.now() + Micros(random() % 3000);
    const auto options = each.options(static_cast<IoQueue>(random() % 3), deadline);
    const uint64_t kind = random() % 4;
    const Status taken =
        kind == 0   ? device.read(0, memory.bytes().first(bytes), options, each.done())
        : kind == 1 ? device.write(0, memory.bytes().first(bytes), options, each.done())
        : kind == 2 ? device.flush(options, each.done())
                    : device.discard(0, bytes, options, each.done());
    ASSERT_TRUE(taken.is_ok()) << taken.to_string();
    device.poll();
  }
  device.thaw();
  run(device);
  for (const Outcome& each : outcomes) {
    EXPECT_TRUE(each.status.has_value());
    EXPECT_EQ(each.freed, 1);
  }
  EXPECT_EQ(device.health().late, 0u);
  EXPECT_EQ(device.health().waiting, 0u);
}

}  // namespace
}  // namespace tarn::io
