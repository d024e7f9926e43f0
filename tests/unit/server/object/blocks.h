#pragma once

#include <cstring>
#include <vector>

#include "common/block/checksum.h"
#include "server/flash/region_format.h"

namespace tarn::object {

// A block by its number: its bytes, and the entry that names it.
struct TestBlock {
  explicit TestBlock(uint64_t number, uint64_t bytes = 64 * kKiB, uint8_t tenant = 1)
      : payload(bytes, static_cast<std::byte>(number * 31 + 7)) {
    std::memcpy(payload.data(), &number, sizeof(number));
    entry.header.key.tenant.bytes[0] = tenant;
    entry.header.key.space.bytes[0] = 9;
    entry.header.key.hash =
        *block::BlockHash::from({reinterpret_cast<const char*>(&number), sizeof(number)});
    entry.header.anchor = entry.header.key.hash;
    entry.header.payload_bytes = bytes;
    entry.header.payload_crc = block::crc32c(0, payload.data(), payload.size());
    entry.put_in = {5};
  }
  const block::BlockKey& key() const { return entry.header.key; }

  flash::Entry entry;
  std::vector<std::byte> payload;
};

}  // namespace tarn::object
