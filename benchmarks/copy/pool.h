#pragma once

#include <cstddef>
#include <span>

#include "common/base/result.h"

namespace tarn::copying {

// Memory that is mapped and touched, in huge pages where there are some. Move-only.
class Mapping {
 public:
  // Of this process alone. Returns: ok, overloaded.
  static Result<Mapping> anonymous(size_t bytes);
  // All of a memfd, shared with whoever has it. Returns: ok, overloaded.
  static Result<Mapping> shared(int memfd, size_t bytes, bool is_writable);
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) = delete;
  ~Mapping();

  std::span<std::byte> bytes() const { return x_bytes; }

 private:
  explicit Mapping(std::span<std::byte> bytes) : x_bytes(bytes) {}
  std::span<std::byte> x_bytes;
};

// The process that has the memory: makes and fills a memfd, passes it through `socket`, and keeps
// it until the other end is closed. Returns: ok, overloaded.
Status own_pool(int socket, size_t bytes);

// The memfd that came through `socket`, to be closed. Returns: ok, unavailable.
Result<int> take_pool(int socket);

}  // namespace tarn::copying
