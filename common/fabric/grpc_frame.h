#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <optional>
#include <string>

#include "common/fabric/fabric.h"

namespace tarn::fabric {

// A BulkFrame (proto/tarn/v1/storage.proto) on its way, with the payload left in gRPC's own memory:
// protobuf would copy it once more on each side.
struct GrpcFrame {
  uint32_t lane = 0;
  std::string header;
  uint64_t payload_bytes = 0;
  int payload_offset = 0;  // within `message`
  grpc::ByteBuffer message;

  // What it takes in a queue.
  uint64_t bytes() const { return header.size() + payload_bytes; }
};

// The wire form, with a copy of header and payload.
grpc::ByteBuffer encode_frame(uint32_t lane, Bytes header, std::span<const Bytes> payload);

// Nothing when it is no BulkFrame, or one with a header or payload over the limits.
std::optional<GrpcFrame> decode_frame(grpc::ByteBuffer message);

// Copies the payload of `frame` into `into`, whose sizes sum up to it; returns its CRC32C.
uint32_t read_payload(const GrpcFrame& frame, std::span<const MutableBytes> into);

}  // namespace tarn::fabric
