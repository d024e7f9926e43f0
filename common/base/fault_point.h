#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/status.h"

namespace tarn::fault {

// What an armed fault point does when it is hit.
enum class Action : uint8_t {
  none,   // not armed, or its turn has not come
  fail,   // the code fails as if the operation under it had failed
  crash,  // the process ends at once, as by SIGKILL
  hang,   // the thread sleeps for `delay_ms`, then goes on
};

struct Plan {
  Action action = Action::fail;
  uint32_t skip = 0;         // hits to let pass first
  uint32_t times = 1;        // hits to act on; 0 means all that follow
  uint32_t delay_ms = 1000;  // for hang
};

// Arms the point `name`. TARN_FAULTS="name=action[:skip[:times[:delay_ms]]],..." does the same, see
// below.
void arm(std::string_view name, Plan plan);
void disarm_all();
// How often the point was hit while anything was armed.
uint64_t hits(std::string_view name);
// Returns: ok, invalid_argument with the part of TARN_FAULTS that is not understood.
Status arm_from_environment();

extern std::atomic<bool> g_any_armed;
// The slow half of TARN_FAULT_POINT: true when the caller must fail. Crashes and hangs happen
// inside.
bool hit(std::string_view name);

}  // namespace tarn::fault

// True when the code must behave as if what follows had failed. Always compiled in; one relaxed
// load when nothing is armed.
#define TARN_FAULT_POINT(name)                                                            \
  (__builtin_expect(::tarn::fault::g_any_armed.load(std::memory_order_relaxed), false) && \
   ::tarn::fault::hit(name))
