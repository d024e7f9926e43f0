#include "common/base/processors.h"

#include <pthread.h>
#include <sched.h>

namespace tarn {

bool pin_thread(uint32_t processor) {
  if (processor >= CPU_SETSIZE) return false;
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(processor, &only);
  return ::pthread_setaffinity_np(::pthread_self(), sizeof(only), &only) == 0;
}

std::vector<uint32_t> allowed_processors() {
  std::vector<uint32_t> allowed;
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return allowed;
  for (uint32_t processor = 0; processor < CPU_SETSIZE; ++processor)
    if (CPU_ISSET(processor, &set)) allowed.push_back(processor);
  return allowed;
}

}  // namespace tarn
