// The frame parser beside protobuf's own: what it takes, protobuf takes, and reads the same in it.
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "common/base/units.h"
#include "common/block/checksum.h"
#include "common/fabric/grpc_frame.h"
#include "proto/tarn/v1/storage.pb.h"
#include "tests/unit/fabric/fabric_pair.h"
#include "tests/unit/fabric/hex.h"

namespace tarn::fabric {
namespace {

grpc::ByteBuffer message_of(const std::string& bytes, size_t step) {
  std::vector<grpc::Slice> slices;
  for (size_t i = 0; i < bytes.size(); i += step)
    slices.emplace_back(bytes.substr(i, step));
  return {slices.data(), slices.size()};
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7)
    bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

std::string field(uint32_t number, const std::string& content) {
  return varint(number << 3 | 2) + varint(content.size()) + content;
}

std::string lane_field(uint64_t lane) {
  return varint(1 << 3) + varint(lane);
}

// What a newer version may add.
std::string unknown_field(std::mt19937_64& random) {
  const auto number = static_cast<uint32_t>(4 + random() % 1000);
  switch (random() % 4) {
    case 0:
      return varint(number << 3) + varint(random());
    case 1:
      return varint(number << 3 | 1) + std::string(8, 'u');
    case 2:
      return varint(number << 3 | 5) + std::string(4, 'u');
    default:
      return field(number, std::string(random() % 40, 'u'));
  }
}

// Fields in any order, some twice (the last holds), some that this version does not know.
std::string random_frame(std::mt19937_64& random) {
  std::string wire;
  for (uint64_t left = random() % 7; left > 0; --left) {
    switch (random() % 4) {
      case 0:
        wire += lane_field(random() % 3 == 0 ? random() : random() % 300);
        break;
      case 1:
        wire += field(2, std::string(random() % 200, static_cast<char>(random())));
        break;
      case 2:
        wire += field(3, std::string(random() % 400, static_cast<char>(random())));
        break;
      default:
        wire += unknown_field(random);
    }
  }
  return wire;
}

// Groups are no part of proto3, and nobody sends them: the parser refuses what protobuf would skip.
bool has_groups(const v1::BulkFrame& frame) {
  const auto& unknown = frame.GetReflection()->GetUnknownFields(frame);
  for (int i = 0; i < unknown.field_count(); ++i) {
    if (unknown.field(i).type() == google::protobuf::UnknownField::TYPE_GROUP) return true;
  }
  return false;
}

uint32_t read_all(const GrpcFrame& frame, std::vector<std::byte>* into) {
  into->resize(frame.payload_bytes);
  const size_t half = into->size() / 2;
  const MutableBytes all(*into);
  const MutableBytes parts[] = {all.first(half), all.subspan(half)};
  return read_payload(frame, parts);
}

void compare(const std::string& wire, size_t step) {
  v1::BulkFrame expected;
  const bool is_frame = expected.ParseFromString(wire) && !has_groups(expected);
  const auto frame = decode_frame(message_of(wire, step));
  ASSERT_EQ(frame.has_value(), is_frame) << to_hex(wire);
  if (!is_frame) return;
  EXPECT_EQ(frame->lane, expected.lane());
  EXPECT_EQ(frame->header, expected.header());
  const std::string& payload = expected.payload();
  ASSERT_EQ(frame->payload_bytes, payload.size());
  std::vector<std::byte> into;
  EXPECT_EQ(read_all(*frame, &into), block::crc32c(0, payload.data(), payload.size()));
  const Bytes expected_payload = std::as_bytes(std::span(payload));
  EXPECT_TRUE(std::equal(into.begin(), into.end(), expected_payload.begin()));
}

// Of damaged ones the parser may take more than protobuf does, which has stricter tags: it must not
// read past the message then, and never another thing than protobuf where that takes it too.
void compare_damaged(const std::string& wire, size_t step) {
  if (v1::BulkFrame frame; frame.ParseFromString(wire)) return compare(wire, step);
  const auto frame = decode_frame(message_of(wire, step));
  if (!frame) return;
  ASSERT_LE(frame->bytes(), wire.size());
  std::vector<std::byte> into;
  read_all(*frame, &into);
}

TEST(GrpcFrameModel, EveryTruncationInEverySlicing) {
  std::mt19937_64 random(1);
  const std::string wires[] = {
      lane_field(300) + field(2, "header") + field(3, std::string(60, 'p')),
      field(3, std::string(60, 'p')) + field(2, "header") + lane_field(UINT32_MAX),
      field(3, "first") + unknown_field(random) + field(3, "the second holds") + lane_field(1),
      lane_field(uint64_t{1} << 63) + field(2, "") + field(3, ""),
  };
  for (const std::string& wire : wires) {
    for (size_t length = 0; length <= wire.size(); ++length) {
      for (const size_t step : {size_t{1}, size_t{2}, size_t{7}, wire.size()}) {
        SCOPED_TRACE(std::to_string(length) + " bytes in pieces of " + std::to_string(step));
        ASSERT_NO_FATAL_FAILURE(compare(wire.substr(0, length), step));
      }
    }
  }
}

TEST(GrpcFrameModel, RandomFieldsAndRandomDamage) {
  for (uint64_t seed = 1; seed <= 4000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    std::string wire = random_frame(random);
    const size_t step = 1 + random() % 50;
    ASSERT_NO_FATAL_FAILURE(compare(wire, step));
    for (uint64_t left = 1 + random() % 3; left > 0 && !wire.empty(); --left) {
      wire[random() % wire.size()] = static_cast<char>(random());
      ASSERT_NO_FATAL_FAILURE(compare_damaged(wire, step));
    }
  }
}

// Lengths that lie: beyond the message, beyond the limits, beyond what a length may be.
TEST(GrpcFrameModel, LengthsAreJudgedAtTheirEdges) {
  struct Case {
    const char* what;
    std::string wire;
    bool is_right;
  };
  const std::string most(kHeaderBytesMax, 'h');
  const Case cases[] = {
      {"the longest header", field(2, most), true},
      {"one byte more", field(2, most + "h"), false},
      {"a header past the end", varint(2 << 3 | 2) + varint(2) + "h", false},
      {"a payload past the end", varint(3 << 3 | 2) + varint(2) + "p", false},
      {"a payload past the limit", varint(3 << 3 | 2) + varint(kBlockBytesMax + 1) + "p", false},
      {"a length of 2^31", varint(2 << 3 | 2) + varint(uint64_t{1} << 31) + "h", false},
      {"a length of 2^32 and one", varint(2 << 3 | 2) + varint((uint64_t{1} << 32) + 1) + "h",
       false},
      {"a length of eleven bytes", varint(2 << 3 | 2) + std::string(10, '\xff') + "\1h", false},
      {"a field with the number 0", std::string("\2\1x", 3), false},
      {"the end of a group", std::string("\x24", 1), false},
      {"nothing", "", true},
  };
  for (const Case& each : cases) {
    EXPECT_EQ(decode_frame(message_of(each.wire, 4096)).has_value(), each.is_right) << each.what;
  }
}

TEST(GrpcFrameModel, AWholeBlockGoesThroughAndNoByteMore) {
  const auto decodes = [](uint64_t bytes) {
    const std::string front = lane_field(1) + varint(3 << 3 | 2) + varint(bytes);
    const grpc::Slice slices[] = {grpc::Slice(front), grpc::Slice(std::string(bytes, 'p'))};
    return decode_frame(grpc::ByteBuffer(slices, 2)).has_value();
  };
  EXPECT_TRUE(decodes(kBlockBytesMax));
  EXPECT_FALSE(decodes(kBlockBytesMax + 1));
}

TEST(GrpcFrameModel, WhatWeWriteIsReadBackWhateverItsParts) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    std::mt19937_64 random(seed);
    const std::vector<std::byte> header = pattern(random() % (kHeaderBytesMax + 1), seed);
    const std::vector<std::byte> payload = pattern(random() % 5000, seed + 1);
    std::vector<Bytes> parts;
    for (Bytes rest = payload; !rest.empty();) {
      parts.push_back(rest.first(std::min<size_t>(rest.size(), random() % 700)));
      rest = rest.subspan(parts.back().size());
    }
    const auto lane = static_cast<uint32_t>(random());
    const auto frame = decode_frame(encode_frame(lane, header, parts));
    ASSERT_TRUE(frame) << seed;
    EXPECT_EQ(frame->lane, lane);
    EXPECT_EQ(frame->bytes(), header.size() + payload.size());
    const Bytes arrived = std::as_bytes(std::span(frame->header));
    EXPECT_TRUE(std::equal(arrived.begin(), arrived.end(), header.begin(), header.end()));
    std::vector<std::byte> into(payload.size());
    const MutableBytes all = into;
    read_payload(*frame, {&all, 1});
    ASSERT_TRUE(into == payload) << seed;
  }
}

}  // namespace
}  // namespace tarn::fabric
