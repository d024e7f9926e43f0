#pragma once

#include <cstdint>

#include "common/base/ids.h"

namespace tarn::index {

// All events of a server up to a sequence are in the index. Value type.
struct StreamMark {
  ServerId server;
  Incarnation incarnation;  // 0: nothing is known
  uint64_t sequence = 0;
  uint32_t handle = 0;  // under which the index has them in this process; not stored

  friend bool operator==(const StreamMark&, const StreamMark&) = default;
};

}  // namespace tarn::index
