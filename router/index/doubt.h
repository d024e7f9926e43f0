#pragma once

#include <cstdint>

#include "common/base/ids.h"
#include "router/index/fingerprint.h"

namespace tarn::index {

// What one scan compares with a server's inventory: a range of the ring, or one extent in it. Value
// type.
struct ScanArea {
  uint32_t range = 0;
  Position position{};           // of the extent
  Fingerprint anchor_print = 0;  // of the extent; 0: the whole range

  friend bool operator==(const ScanArea&, const ScanArea&) = default;
};

// Somebody did not get a block from a server where the index has it. A hint by whoever asked, never
// the truth: the server is asked. Value type.
struct Doubt {
  ServerId server;
  TenantId tenant;  // whose block it is, and who says so
  ScanArea area;    // the block's extent

  friend bool operator==(const Doubt&, const Doubt&) = default;
};

}  // namespace tarn::index
