#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "common/base/result.h"

namespace tarn::peers {

// Memory of a client: the random bytes that all values are cut from, the same for every peer, and
// a ring that gets write to, larger than the caches. One-thread. Does not own the memory.
class Payload {
 public:
  // `memory` begins with room for the file's bytes; the rest is the ring.
  // Returns: the payload; invalid_argument, unavailable for a file that cannot be read whole.
  static Result<Payload> load(const std::string& file, std::span<std::byte> memory);

  // The bytes of value `number`. Precondition: bytes <= source_bytes().
  std::span<std::byte> value(uint64_t number, uint64_t bytes) const;
  // In how many places gets of `inflight` at a time land in turn: more than caches hold. 0: so many
  // do not fit.
  uint64_t places(uint64_t bytes, uint64_t inflight) const;
  std::span<std::byte> place(uint64_t which, uint64_t bytes) const;
  uint64_t source_bytes() const { return x_source.size(); }

 private:
  std::span<std::byte> x_source;
  std::span<std::byte> x_ring;
};

}  // namespace tarn::peers
