#pragma once

#include <cstdint>

namespace tarn::sdk {

// Tells whether this process is a child that fork() made after the guard. Such a child has a copy
// of the client's memory and none of its threads, and its connections are the parent's: nothing of
// the client may be used, waited for, or taken down there. Immutable.
class ForkGuard {
 public:
  ForkGuard();
  bool is_child() const;

 private:
  uint64_t x_generation;
};

// Why a call of such a child ends.
inline constexpr const char* kForkedText =
    "this process was forked after the client connected: start processes by exec, as "
    "multiprocessing does with `spawn`, and connect in each";

}  // namespace tarn::sdk
