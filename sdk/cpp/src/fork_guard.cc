#include "sdk/cpp/src/fork_guard.h"

#include <pthread.h>

#include <atomic>

#include "common/base/check.h"

namespace tarn::sdk {
namespace {

std::atomic<uint64_t> g_generation{0};

void count_forks() {
  g_generation.fetch_add(1, std::memory_order_relaxed);
}

uint64_t generation() {
  static const bool is_counting = pthread_atfork(nullptr, nullptr, count_forks) == 0;
  TARN_CHECK(is_counting);
  return g_generation.load(std::memory_order_relaxed);
}

}  // namespace

ForkGuard::ForkGuard() : x_generation(generation()) {}

bool ForkGuard::is_child() const {
  return generation() != x_generation;
}

}  // namespace tarn::sdk
