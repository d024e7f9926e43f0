#include "common/base/thread_name.h"

#include <pthread.h>

#include <string>

namespace tarn {

void set_thread_name(std::string_view name) {
  constexpr size_t kKernelLimit = 15;
  const std::string kept(name.substr(0, kKernelLimit));
  ::pthread_setname_np(::pthread_self(), kept.c_str());
}

}  // namespace tarn
