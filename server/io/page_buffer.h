#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "server/io/block_device.h"

namespace tarn::io {

// Zeroed memory that a device takes. Value type.
class PageBuffer {
 public:
  explicit PageBuffer(uint64_t bytes) : x_pages((bytes + kIoAlignBytes - 1) / kIoAlignBytes) {}

  // The bytes asked for, rounded up to kIoAlignBytes.
  std::span<std::byte> bytes() { return std::as_writable_bytes(std::span(x_pages)); }
  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(x_pages)); }

 private:
  struct alignas(kIoAlignBytes) Page {
    std::array<std::byte, kIoAlignBytes> bytes{};
  };

  std::vector<Page> x_pages;
};

}  // namespace tarn::io
