#pragma once

namespace tarn {

// Writes "file:line: check failed: expression" to stderr and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* expression);

}  // namespace tarn

// An invariant of ours that holds in every build. Never for what a peer, disk, user or config can
// cause.
#define TARN_CHECK(expression)                               \
  do {                                                       \
    if (__builtin_expect(!(expression), 0)) {                \
      ::tarn::check_failed(__FILE__, __LINE__, #expression); \
    }                                                        \
  } while (false)

// The same in hot loops: compiled in where NDEBUG is not defined (debug and sanitizer builds).
#ifdef NDEBUG
#define TARN_DCHECK(expression)  \
  do {                           \
    (void)sizeof(!(expression)); \
  } while (false)
#else
#define TARN_DCHECK(expression) TARN_CHECK(expression)
#endif
