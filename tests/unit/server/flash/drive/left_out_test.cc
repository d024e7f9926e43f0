#include <gtest/gtest.h>

#include <deque>
#include <memory>

#include "server/flash/drive/flash_drives.h"
#include "tests/unit/server/flash/drive/drive_rig.h"

namespace tarn::flash {
namespace {

// A drive in memory that stops for good after so many reads.
class StoppingDevice final : public io::QueuedDevice {
 public:
  StoppingDevice(std::shared_ptr<io::DiskImage> image, size_t reads)
      : QueuedDevice({"stops", image->bytes(), {}, &system_clock()}, fabric::Event::open().value()),
        x_image(std::move(image)),
        x_reads_left(reads) {}
  ~StoppingDevice() override { close(); }

  std::string description() const override { return "stops"; }
  Status register_memory(std::span<std::byte>) override { return Status::ok(); }
  void unregister_memory(std::span<std::byte>) override {}

 private:
  void start(const io::IoPiece& piece) override {
    x_started.push_back(piece);
    event().signal();
  }
  void submit() override {}
  void collect() override {
    event().clear();
    for (; !x_started.empty() && x_reads_left > 0; x_started.pop_front(), --x_reads_left) {
      const io::IoPiece& piece = x_started.front();
      const auto from = x_image->seen().subspan(piece.offset, piece.bytes);
      std::ranges::copy(from, piece.memory);
      ended(piece.slot, static_cast<int64_t>(piece.bytes));
    }
  }

  const std::shared_ptr<io::DiskImage> x_image;
  size_t x_reads_left;
  std::deque<io::IoPiece> x_started;
};

FlashDrivesOptions options_of(const std::shared_ptr<io::DiskImage>& image, size_t reads) {
  FlashDrivesOptions options;
  options.paths = {"drive"};
  options.deadline = std::chrono::milliseconds(100);
  options.open_device = [image, reads](const io::DeviceOptions&) -> Result<io::OpenDevice> {
    io::OpenDevice opened;
    opened.device = std::make_unique<StoppingDevice>(image, reads);
    opened.label.id = {7};
    return opened;
  };
  return options;
}

// Whatever it had told by then must not be taken for a copy.
TEST(LeftOutTest, a_drive_that_stops_while_it_is_recovered_has_no_blocks) {
  DriveRig rig(4);
  ASSERT_TRUE(rig.open().is_ok());
  ASSERT_EQ(rig.put(1, 4096, Lifetime::brief), Code::ok);
  ASSERT_EQ(rig.put(2, 4096, Lifetime::lasting), Code::ok);
  rig.close();
  size_t left_out = 0;
  for (size_t reads = 9;; ++reads) {  // labels, headers and footers are read by then
    const auto drives = FlashDrives::open(options_of(rig.image, reads)).value();
    if (!drives->stats().empty()) break;
    EXPECT_EQ(drives->index().blocks(), 0u) << "after " << reads << " reads";
    ++left_out;
  }
  EXPECT_GT(left_out, 0u);
}

}  // namespace
}  // namespace tarn::flash
