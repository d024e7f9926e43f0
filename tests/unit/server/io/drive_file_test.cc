#include "server/io/drive_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "common/base/ids.h"
#include "common/base/little_endian.h"
#include "common/block/checksum.h"
#include "tests/unit/server/io/io_fixture.h"

namespace tarn::io {
namespace {

class DriveFileTest : public testing::Test {
 protected:
  Result<std::unique_ptr<DriveFile>> open() { return DriveFile::open(x_options); }
  // Overwrites bytes of the file, behind its back.
  void scribble(uint64_t offset, const std::string& bytes) {
    std::fstream file(x_options.path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file << bytes;
  }

  ScratchFolder x_folder;
  DriveOptions x_options{.path = x_folder.file("drive"),
                         .capacity_bytes = 16 * kMiB,
                         .region_bytes = 4 * kMiB,
                         .content_format = 3};
};

TEST_F(DriveFileTest, a_new_file_is_reserved_whole_and_labelled_once) {
  const DriveLabel label = open().value()->label();
  struct stat info = {};
  ASSERT_EQ(::stat(x_options.path.c_str(), &info), 0);
  EXPECT_GE(static_cast<uint64_t>(info.st_blocks) * 512, 16 * kMiB);
  EXPECT_NE(label.id, DriveId{});
  x_options.capacity_bytes = 32 * kMiB;
  const auto again = open().value();
  EXPECT_FALSE(again->is_new());
  EXPECT_EQ(again->label(), label) << "a drive keeps its capacity";
}

TEST_F(DriveFileTest, no_space_leaves_no_file_behind) {
  x_options.capacity_bytes = uint64_t{1} << 43;
  const Status status = open().status();
  EXPECT_EQ(status.code(), Code::overloaded) << status.message();
  EXPECT_NE(status.message().find("are free"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(x_options.path));
}

TEST_F(DriveFileTest, one_damaged_label_is_mended_from_the_other) {
  const DriveLabel label = open().value()->label();
  for (const uint64_t offset : {uint64_t{0}, kLabelCopyOffset}) {
    scribble(offset + 100, "damage");
    EXPECT_EQ(open().value()->label(), label);
  }
  scribble(100, "damage");
  scribble(kLabelCopyOffset + 100, "damage");
  EXPECT_EQ(open().status().code(), Code::invalid_argument);
}

TEST_F(DriveFileTest, what_is_not_ours_stays_as_it_is) {
  std::ofstream(x_options.path, std::ios::binary) << std::string(2 * kMiB, 'x');
  EXPECT_EQ(open().status().code(), Code::invalid_argument);
  EXPECT_EQ(std::filesystem::file_size(x_options.path), 2 * kMiB);
}

TEST_F(DriveFileTest, other_formats_and_regions_are_refused) {
  ASSERT_TRUE(open().has_value());
  x_options.content_format = 4;
  EXPECT_EQ(open().status().code(), Code::unsupported);
  x_options.content_format = 3;
  x_options.region_bytes = 8 * kMiB;
  EXPECT_EQ(open().status().code(), Code::unsupported);
}

TEST_F(DriveFileTest, a_file_that_was_cut_gets_its_space_again) {
  ASSERT_TRUE(open().has_value());
  std::filesystem::resize_file(x_options.path, 2 * kMiB);
  ASSERT_TRUE(open().has_value());
  EXPECT_EQ(std::filesystem::file_size(x_options.path), 16 * kMiB);
}

TEST_F(DriveFileTest, nothing_or_a_folder_is_no_drive) {
  x_options.capacity_bytes = 0;
  EXPECT_EQ(open().status().code(), Code::unavailable);
  x_options.path = x_folder.file("");
  EXPECT_FALSE(open().has_value());
  x_options = {.path = x_folder.file("small"), .capacity_bytes = kMiB, .region_bytes = kMiB};
  EXPECT_EQ(open().status().code(), Code::invalid_argument);
}

TEST(DriveLabel, keeps_its_bytes) {
  DriveLabel label;
  label.id.fill(0xab);
  label.content_format = 1;
  label.capacity_bytes = 16 * kMiB;
  label.region_bytes = 4 * kMiB;
  label.formatted_unix_ms = 0x0102030405060708;
  const EncodedLabel bytes = encode(label);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  EXPECT_EQ(to_hex(text.substr(0, 56)),
            "5441524e445249560100000001000000abababababababababababababababab"
            "000000010000000000004000000000000807060504030201");
  EXPECT_EQ(load_le<uint32_t>(bytes.data() + 4092), block::crc32c(0, bytes.data(), 4092));
  EXPECT_EQ(decode_label(bytes).value(), label);
}

TEST(DriveLabel, every_flipped_bit_is_noticed_and_a_newer_one_is_refused) {
  DriveLabel label;
  label.capacity_bytes = 16 * kMiB;
  EncodedLabel bytes = encode(label);
  for (size_t bit = 0; bit < 8 * bytes.size(); bit += 7) {
    bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    EXPECT_EQ(decode_label(bytes).status().code(), Code::corrupt);
    bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
  }
  bytes[8] = std::byte{2};
  store_le(bytes.data() + 4092, block::crc32c(0, bytes.data(), 4092));
  EXPECT_EQ(decode_label(bytes).status().code(), Code::unsupported);
  EXPECT_EQ(decode_label(std::span(bytes).first(100)).status().code(), Code::corrupt);
  EXPECT_EQ(decode_label(EncodedLabel{}).status().code(), Code::not_found);
}

}  // namespace
}  // namespace tarn::io
