#include "common/fabric/grpc_frame.h"

#include <gtest/gtest.h>

#include "common/base/units.h"
#include "common/block/checksum.h"
#include "proto/tarn/v1/storage.pb.h"
#include "tests/unit/fabric/fabric_pair.h"

namespace tarn::fabric {
namespace {

std::string flat(const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(message.Dump(&slices).ok());
  std::string all;
  for (const grpc::Slice& slice : slices) {
    all.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return all;
}

// In pieces of `step` bytes, as they come from a network.
grpc::ByteBuffer message_of(const std::string& bytes, size_t step) {
  std::vector<grpc::Slice> slices;
  for (size_t i = 0; i < bytes.size(); i += step)
    slices.emplace_back(bytes.substr(i, step));
  return {slices.data(), slices.size()};
}

v1::BulkFrame frame_of(uint32_t lane, const std::string& header, const std::string& payload) {
  v1::BulkFrame frame;
  frame.set_lane(lane);
  frame.set_header(header);
  frame.set_payload(payload);
  return frame;
}

TEST(GrpcFrame, IsABulkFrameOfTheProto) {
  const std::string header = "header";
  const std::vector<std::byte> payload = pattern(10'000, 1);
  const Bytes parts[] = {Bytes(payload).first(3), {}, Bytes(payload).subspan(3)};
  v1::BulkFrame frame;
  ASSERT_TRUE(
      frame.ParseFromString(flat(encode_frame(300, std::as_bytes(std::span(header)), parts))));
  EXPECT_EQ(frame.lane(), 300u);
  EXPECT_EQ(frame.header(), header);
  ASSERT_EQ(frame.payload().size(), payload.size());
  EXPECT_EQ(std::memcmp(frame.payload().data(), payload.data(), payload.size()), 0);
}

TEST(GrpcFrame, ReadsWhatProtobufWrites) {
  const std::string payload(5000, 'p');
  const std::string wire = frame_of(7, "h", payload).SerializeAsString();
  for (const size_t step : {size_t{1}, size_t{7}, size_t{4096}, wire.size()}) {
    const auto frame = decode_frame(message_of(wire, step));
    ASSERT_TRUE(frame.has_value()) << step;
    EXPECT_EQ(frame->lane, 7u);
    EXPECT_EQ(frame->header, "h");
    ASSERT_EQ(frame->payload_bytes, payload.size());
    std::vector<std::byte> into(payload.size());
    const MutableBytes parts[] = {MutableBytes(into).first(100), MutableBytes(into).subspan(100)};
    EXPECT_EQ(read_payload(*frame, parts), block::crc32c(0, payload.data(), payload.size()));
    EXPECT_EQ(std::memcmp(into.data(), payload.data(), payload.size()), 0);
  }
}

TEST(GrpcFrame, UnknownFieldsAreSkipped) {
  std::string wire = frame_of(1, "h", "p").SerializeAsString();
  wire += std::string("\x20\x05", 2);     // field 4, varint
  wire += std::string("\x2a\x03xyz", 5);  // field 5, bytes
  wire += std::string(
      "\x31"
      "12345678",
      9);  // field 6, 64 bits
  wire += std::string(
      "\x3d"
      "1234",
      5);  // field 7, 32 bits
  const auto frame = decode_frame(message_of(wire, 3));
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->payload_bytes, 1u);
}

TEST(GrpcFrame, MalformedOnesAreRefused) {
  const std::string good = frame_of(1, "header", std::string(100, 'p')).SerializeAsString();
  int accepted = 0;
  for (size_t length = 0; length < good.size(); ++length) {
    // A cut between two fields is a frame with fewer of them.
    accepted += decode_frame(message_of(good.substr(0, length), 5)).has_value() ? 1 : 0;
  }
  EXPECT_LE(accepted, 3);
  const std::string long_header(kHeaderBytesMax + 1, 'h');
  EXPECT_FALSE(decode_frame(message_of(frame_of(1, long_header, "").SerializeAsString(), 4096)));
  EXPECT_FALSE(decode_frame(message_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 4)));
  EXPECT_FALSE(decode_frame(message_of(std::string("\x1a\xff\xff\xff\xff\x0f", 6), 6)));
  EXPECT_FALSE(decode_frame(message_of(std::string("\x2a\xff\xff\xff\xff\x0f", 6), 6)));
  EXPECT_FALSE(decode_frame(message_of("\x0b", 1)));
}

}  // namespace
}  // namespace tarn::fabric
