#pragma once

#include <cstdint>
#include <vector>

namespace tarn {

// Keeps the calling thread on one processor. False where there is none of that number, or the
// process may not use it; the thread then stays as it was.
bool pin_thread(uint32_t processor);

// The processors that the calling thread may run on, in order; empty where the system does not say.
std::vector<uint32_t> allowed_processors();

}  // namespace tarn
