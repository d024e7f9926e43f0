#include "common/fabric/grpc_frame.h"

#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <cstring>

#include "common/base/check.h"
#include "common/base/units.h"
#include "common/fabric/scatter.h"

namespace tarn::fabric {
namespace {

using google::protobuf::io::CodedInputStream;

// Tags of the three fields: number << 3 | wire type.
constexpr uint32_t kLaneTag = 1 << 3 | 0;
constexpr uint32_t kHeaderTag = 2 << 3 | 2;
constexpr uint32_t kPayloadTag = 3 << 3 | 2;
constexpr uint32_t kWireTypeMask = 7;
// As protobuf counts.
constexpr int kHeaderMax = static_cast<int>(kHeaderBytesMax);
constexpr int kPayloadMax = static_cast<int>(kBlockBytesMax);

void append_varint(std::string* to, uint64_t value) {
  while (value >= 0x80) {
    to->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  to->push_back(static_cast<char>(value));
}

grpc::Slice slice_of(std::span<const Bytes> parts, uint64_t bytes) {
  grpc::Slice slice(bytes);
  auto* to = const_cast<uint8_t*>(slice.begin());
  for (const Bytes& part : parts) {
    if (part.empty()) continue;
    std::memcpy(to, part.data(), part.size());
    to += part.size();
  }
  TARN_CHECK(to == slice.end());
  return slice;
}

// Steps over a field that this version does not know.
bool skip_field(CodedInputStream* input, uint32_t tag) {
  uint64_t number = 0;
  int length = 0;
  if (tag >> 3 == 0) return false;
  switch (tag & kWireTypeMask) {
    case 0:
      return input->ReadVarint64(&number);
    case 1:
      return input->Skip(8);
    case 2:
      return input->ReadVarintSizeAsInt(&length) && input->Skip(length);
    case 5:
      return input->Skip(4);
    default:
      return false;
  }
}

bool read_field(CodedInputStream* input, uint32_t tag, GrpcFrame* frame) {
  int length = 0;
  switch (tag) {
    case kLaneTag:
      return input->ReadVarint32(&frame->lane);
    case kHeaderTag:
      return input->ReadVarintSizeAsInt(&length) && length <= kHeaderMax &&
             input->ReadString(&frame->header, length);
    case kPayloadTag:
      if (!input->ReadVarintSizeAsInt(&length) || length > kPayloadMax) return false;
      frame->payload_bytes = static_cast<uint64_t>(length);
      frame->payload_offset = input->CurrentPosition();
      return input->Skip(length);
    default:
      return skip_field(input, tag);
  }
}

}  // namespace

grpc::ByteBuffer encode_frame(uint32_t lane, Bytes header, std::span<const Bytes> payload) {
  TARN_CHECK(header.size() <= kHeaderBytesMax);
  const uint64_t payload_bytes = total_bytes(payload);
  std::string front;
  append_varint(&front, kLaneTag);
  append_varint(&front, lane);
  append_varint(&front, kHeaderTag);
  append_varint(&front, header.size());
  front.append(reinterpret_cast<const char*>(header.data()), header.size());
  if (payload_bytes == 0) {
    const grpc::Slice only(front);
    return {&only, 1};
  }
  append_varint(&front, kPayloadTag);
  append_varint(&front, payload_bytes);
  const grpc::Slice slices[] = {grpc::Slice(front), slice_of(payload, payload_bytes)};
  return {slices, 2};
}

std::optional<GrpcFrame> decode_frame(grpc::ByteBuffer message) {
  if (message.Length() > kBlockBytesMax + kHeaderBytesMax + 4 * kKiB) return std::nullopt;
  GrpcFrame frame;
  frame.message.Swap(&message);
  grpc::ProtoBufferReader reader(&frame.message);
  if (!reader.status().ok()) return std::nullopt;
  CodedInputStream input(&reader);
  while (const uint32_t tag = input.ReadTag()) {
    if (!read_field(&input, tag, &frame)) return std::nullopt;
  }
  if (!input.ConsumedEntireMessage()) return std::nullopt;
  return frame;
}

uint32_t read_payload(const GrpcFrame& frame, std::span<const MutableBytes> into) {
  TARN_CHECK(total_bytes(into) == frame.payload_bytes);
  ScatterWriter writer(into);
  if (frame.payload_bytes == 0) return writer.crc32c();
  grpc::ByteBuffer message = frame.message;
  grpc::ProtoBufferReader reader(&message);
  TARN_CHECK(reader.Skip(frame.payload_offset));
  const void* piece = nullptr;
  int bytes = 0;
  while (writer.bytes_written() < frame.payload_bytes) {
    TARN_CHECK(reader.Next(&piece, &bytes));
    const uint64_t left = frame.payload_bytes - writer.bytes_written();
    const size_t step = std::min<uint64_t>(left, static_cast<uint64_t>(bytes));
    TARN_CHECK(writer.write({static_cast<const std::byte*>(piece), step}));
  }
  return writer.crc32c();
}

}  // namespace tarn::fabric
