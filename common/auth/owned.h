#pragma once

#include <memory>

namespace tarn::auth {

// Calls a C library's free function; for unique_ptr.
template <auto kFree>
struct FreeWith {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};

// The one owner of an object of a C library.
template <typename T, auto kFree>
using Owned = std::unique_ptr<T, FreeWith<kFree>>;

// Takes the errors that OpenSSL notes within a scope off the thread's queue, where the next TLS
// call on this thread, gRPC's perhaps, would take them for its own. One-thread, on the stack.
class ErrorScope {
 public:
  ErrorScope();
  ~ErrorScope();
  ErrorScope(const ErrorScope&) = delete;
  ErrorScope& operator=(const ErrorScope&) = delete;
};

}  // namespace tarn::auth
