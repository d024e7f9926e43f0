#pragma once

#include <cstdint>

namespace tarn::baseline {

enum class Type : uint32_t { prepare, prepared, get, block, put, kept };

// The header of every active message of the baseline. Both processes are of one program: no care is
// taken of byte order or of hostile peers.
struct Message {
  Type type = Type::prepare;
  uint32_t id = 0;     // of the request, chosen by the client
  uint64_t index = 0;  // of the block in the server's memory
  uint64_t bytes = 0;  // of one block
  uint32_t crc32c = 0;
  uint32_t is_checked = 0;  // the receiver of a payload verifies crc32c
  uint32_t is_corrupt = 0;  // in kept: it did not match
  uint32_t padding = 0;
};

}  // namespace tarn::baseline
