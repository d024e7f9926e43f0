#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/fabric/grpc_frame.h"

// A frame of a hostile peer, in slices of a size that its first byte gives.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t step = size_t{data[0]} + 1;
  std::vector<grpc::Slice> slices;
  for (size_t i = 1; i < size; i += step)
    slices.emplace_back(data + i, std::min(step, size - i));
  auto frame = tarn::fabric::decode_frame(grpc::ByteBuffer(slices.data(), slices.size()));
  if (!frame) return 0;
  std::vector<std::byte> payload(frame->payload_bytes);
  const tarn::fabric::MutableBytes into = payload;
  tarn::fabric::read_payload(*frame, {&into, 1});
  return 0;
}
