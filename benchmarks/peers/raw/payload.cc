#include "benchmarks/peers/raw/payload.h"

#include <algorithm>
#include <fstream>

#include "common/base/check.h"

namespace tarn::peers {
namespace {

// Values begin at pages; a prime stride, so that neighbours differ.
constexpr uint64_t kValuePageBytes = 4096;
constexpr uint64_t kStridePages = 7919;
constexpr uint64_t kRingUsedBytes = uint64_t{128} << 20;

}  // namespace

Result<Payload> Payload::load(const std::string& file, std::span<std::byte> memory) {
  std::ifstream stream(file, std::ios::binary | std::ios::ate);
  if (!stream) return unavailable("cannot read " + file);
  const auto bytes = static_cast<uint64_t>(stream.tellg());
  if (bytes == 0 || bytes >= memory.size()) {
    return invalid_argument(file + ": " + std::to_string(bytes) + " bytes leave no ring");
  }
  stream.seekg(0);
  if (!stream.read(reinterpret_cast<char*>(memory.data()), static_cast<std::streamsize>(bytes))) {
    return unavailable("cannot read all of " + file);
  }
  Payload payload;
  payload.x_source = memory.first(bytes);
  payload.x_ring = memory.subspan(bytes);
  return payload;
}

std::span<std::byte> Payload::value(uint64_t number, uint64_t bytes) const {
  TARN_CHECK(bytes <= x_source.size());
  const uint64_t pages = (x_source.size() - bytes) / kValuePageBytes + 1;
  return x_source.subspan(number * kStridePages % pages * kValuePageBytes, bytes);
}

uint64_t Payload::places(uint64_t bytes, uint64_t inflight) const {
  const uint64_t wanted = std::max(inflight, kRingUsedBytes / bytes);
  const uint64_t fitting = x_ring.size() / bytes;
  return fitting < inflight ? 0 : std::min(wanted, fitting);
}

std::span<std::byte> Payload::place(uint64_t which, uint64_t bytes) const {
  TARN_CHECK((which + 1) * bytes <= x_ring.size());
  return x_ring.subspan(which * bytes, bytes);
}

}  // namespace tarn::peers
