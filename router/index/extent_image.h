#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "router/index/fingerprint.h"
#include "router/index/stored_block.h"

namespace tarn::index {

// One extent of the index as a snapshot keeps it. Value type.
struct ExtentImage {
  struct Holder {
    ServerId server;
    uint16_t shard = 0;
    Tier tier = Tier::dram;
    uint64_t blocks = 0;  // bit i: the block with index i
    friend bool operator==(const Holder&, const Holder&) = default;
  };

  Position position;
  Fingerprint anchor_print = 0;
  TenantId tenant;
  SpaceId space;
  uint32_t block_bytes = 0;
  block::BlockHash anchor;          // empty where only index 0 is known
  std::vector<Fingerprint> prints;  // of index 1, 2, ...; 0 where no block is known
  std::vector<Holder> holders;

  friend bool operator==(const ExtentImage&, const ExtentImage&) = default;
};

// The row's key and value in a snapshot: the key is position and anchor_print, big-endian, so rows
// lie in the order of the ring; the value is everything else.
std::string key_bytes(const ExtentImage& extent);
std::string value_bytes(const ExtentImage& extent);
// Returns: the extent; corrupt for bytes that are none.
Result<ExtentImage> parse_extent(std::string_view key, std::string_view value);

}  // namespace tarn::index
