#pragma once

// What clang's thread-safety analysis checks at compile time; g++ sees nothing.
// https://clang.llvm.org/docs/ThreadSafetyAnalysis.html
#if defined(__clang__)
#define TARN_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define TARN_THREAD_ATTRIBUTE(x)
#endif

// A member that is touched only while the mutex is held.
#define TARN_GUARDED_BY(mutex) TARN_THREAD_ATTRIBUTE(guarded_by(mutex))
// A function that is called only with the mutex held, by its holder alone or shared.
#define TARN_REQUIRES(...) TARN_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define TARN_REQUIRES_SHARED(...) TARN_THREAD_ATTRIBUTE(requires_shared_capability(__VA_ARGS__))
// For the locks themselves.
#define TARN_CAPABILITY(name) TARN_THREAD_ATTRIBUTE(capability(name))
#define TARN_SCOPED_CAPABILITY TARN_THREAD_ATTRIBUTE(scoped_lockable)
#define TARN_ACQUIRE(...) TARN_THREAD_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define TARN_RELEASE(...) TARN_THREAD_ATTRIBUTE(release_capability(__VA_ARGS__))
#define TARN_ACQUIRE_SHARED(...) TARN_THREAD_ATTRIBUTE(acquire_shared_capability(__VA_ARGS__))
#define TARN_RELEASE_SHARED(...) TARN_THREAD_ATTRIBUTE(release_shared_capability(__VA_ARGS__))
#define TARN_TRY_ACQUIRE(...) TARN_THREAD_ATTRIBUTE(try_acquire_capability(__VA_ARGS__))
// A function whose locking the analysis cannot follow; its comment says why it is right.
#define TARN_NO_THREAD_SAFETY_ANALYSIS TARN_THREAD_ATTRIBUTE(no_thread_safety_analysis)
