#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "common/base/fault_point.h"
#include "common/memory/slab.h"
#include "server/io/open_device.h"
#include "server/io/registered_memory.h"
#include "tests/unit/server/io/io_fixture.h"

namespace tarn::io {
namespace {

constexpr uint64_t kDriveBytes = 32 * kMiB;

// What holds for a real file through either engine.
class DeviceTest : public testing::TestWithParam<IoEngine> {
 protected:
  ~DeviceTest() override { fault::disarm_all(); }

  DeviceOptions options(const std::string& name = "drive") const {
    DeviceOptions options;
    options.drive.path = x_folder.file(name);
    options.drive.capacity_bytes = kDriveBytes;
    options.drive.region_bytes = 4 * kMiB;
    options.engine = GetParam();
    return options;
  }
  std::unique_ptr<BlockDevice> open() const {
    auto opened = open_device(options());
    EXPECT_TRUE(opened.has_value()) << opened.status().to_string();
    return std::move(opened).value().device;
  }

  ScratchFolder x_folder;
};

INSTANTIATE_TEST_SUITE_P(Engines, DeviceTest,
                         testing::Values(IoEngine::io_uring, IoEngine::threads),
                         [](const auto& each) { return std::string(engine_name(each.param)); });

TEST_P(DeviceTest, bytes_come_back_also_after_it_was_closed) {
  const PageBuffer out = filled(5 * kMiB, 1);
  PageBuffer in(5 * kMiB);
  {
    const auto device = open();
    ASSERT_TRUE(write_now(*device, 2 * kMiB, out).is_ok());
    ASSERT_TRUE(flush_now(*device).is_ok());
  }
  const auto device = open();
  ASSERT_TRUE(read_now(*device, 2 * kMiB, in).is_ok());
  EXPECT_TRUE(same(in, out));
}

TEST_P(DeviceTest, many_at_once_from_another_thread_than_opened_it) {
  const auto device = open();
  std::thread lane([&] {
    std::vector<PageBuffer> out, in;
    std::vector<Outcome> writes(200), reads(200);
    for (size_t i = 0; i < writes.size(); ++i) {
      out.push_back(filled(65536, i));
      in.emplace_back(65536);
      ASSERT_TRUE(device
                      ->write(kMiB + i * 65536, out[i].bytes(), writes[i].options(IoQueue::destage),
                              writes[i].done())
                      .is_ok());
    }
    run(*device);
    for (size_t i = 0; i < reads.size(); ++i)
      ASSERT_TRUE(device->read(kMiB + i * 65536, in[i].bytes(), reads[i].options(), reads[i].done())
                      .is_ok());
    run(*device);
    for (size_t i = 0; i < reads.size(); ++i) {
      EXPECT_EQ(reads[i].code(), Code::ok);
      EXPECT_TRUE(same(in[i], out[i])) << i;
    }
  });
  lane.join();
}

TEST_P(DeviceTest, registered_memory_works_like_any_other) {
  const auto device = open();
  const auto slab = memory::Slab::open({.bytes = 4 * kMiB}).value();
  ASSERT_TRUE(device->register_memory(slab->memory()).is_ok());
  fill(slab->memory(), 3);
  const std::vector<std::byte> before(slab->memory().begin(), slab->memory().end());
  Outcome write, read;
  ASSERT_TRUE(
      device->write(kMiB, slab->memory(), write.options(IoQueue::destage), write.done()).is_ok());
  run(*device);
  std::ranges::fill(slab->memory(), std::byte{0});
  ASSERT_TRUE(device->read(kMiB, slab->memory(), read.options(), read.done()).is_ok());
  run(*device);
  EXPECT_EQ(read.code(), Code::ok);
  EXPECT_TRUE(std::ranges::equal(before, slab->memory()));
  device->unregister_memory(slab->memory());
  EXPECT_TRUE(device->register_memory(slab->memory()).is_ok());
  device->unregister_memory(slab->memory());
}

TEST_P(DeviceTest, a_discarded_range_of_a_file_keeps_its_space) {
  const auto device = open();
  const PageBuffer out = filled(4 * kMiB, 4);
  ASSERT_TRUE(write_now(*device, 4 * kMiB, out).is_ok());
  Outcome discard;
  ASSERT_TRUE(device->discard(4 * kMiB, 4 * kMiB, discard.options(IoQueue::reclaim), discard.done())
                  .is_ok());
  run(*device);
  EXPECT_EQ(discard.code(), Code::ok);
  struct stat info = {};
  ASSERT_EQ(::stat(x_folder.file("drive").c_str(), &info), 0);
  EXPECT_GE(static_cast<uint64_t>(info.st_blocks) * 512, kDriveBytes);
}

TEST_P(DeviceTest, a_file_that_was_cut_under_it_is_corrupt) {
  const auto device = open();
  std::filesystem::resize_file(x_folder.file("drive"), 8 * kMiB);
  PageBuffer in(kMiB);
  EXPECT_EQ(read_now(*device, 16 * kMiB, in).code(), Code::corrupt);
}

TEST_P(DeviceTest, two_never_share_a_drive) {
  const auto device = open();
  EXPECT_EQ(open_device(options()).status().code(), Code::conflict);
}

TEST(OpenDevice, goes_to_threads_where_io_uring_is_refused_and_says_so) {
  const ScratchFolder folder;
  DeviceOptions options;
  options.drive = {
      .path = folder.file("drive"), .capacity_bytes = kDriveBytes, .region_bytes = 4 * kMiB};
  fault::arm("io.uring_setup", {});
  const OpenDevice opened = open_device(options).value();
  fault::disarm_all();
  EXPECT_EQ(opened.engine, IoEngine::threads);
  EXPECT_NE(opened.device->description().find("io_uring is refused"), std::string::npos);
}

TEST(OpenDevice, io_uring_by_name_is_not_replaced) {
  const ScratchFolder folder;
  DeviceOptions options;
  options.drive = {.path = folder.file("drive"), .capacity_bytes = kDriveBytes};
  options.engine = IoEngine::io_uring;
  fault::arm("io.uring_setup", {});
  EXPECT_EQ(open_device(options).status().code(), Code::unsupported);
  fault::disarm_all();
}

TEST(RegisteredMemory, finds_ranges_and_refuses_overlaps) {
  PageBuffer buffer(64 * 1024);
  const std::span<std::byte> all = buffer.bytes();
  RegisteredMemory memory(2);
  EXPECT_EQ(memory.add(all.subspan(4096, 8192)).value(), 0u);
  EXPECT_EQ(memory.add(all.subspan(8192, 8192)).status().code(), Code::invalid_argument);
  EXPECT_EQ(memory.add(all.first(8192)).status().code(), Code::invalid_argument);
  EXPECT_EQ(memory.add(all.subspan(12288, 4096)).value(), 1u);
  EXPECT_EQ(memory.add(all.subspan(32768, 4096)).status().code(), Code::overloaded);
  EXPECT_EQ(memory.find(all.data() + 8192, 4096), 0);
  EXPECT_EQ(memory.find(all.data() + 12288, 4096), 1);
  EXPECT_EQ(memory.find(all.data() + 8192, 8192), -1) << "no range holds both";
  EXPECT_EQ(memory.find(all.data(), 4096), -1);
  memory.remove(all.subspan(4096, 8192));
  EXPECT_EQ(memory.find(all.data() + 8192, 4096), -1);
}

}  // namespace
}  // namespace tarn::io
