# Compiler flags, sanitizers and ccache for every target of the project.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

# __FILE__ is relative: a failed check names the file alike wherever it was built, and checkouts share one cache.
add_compile_options(-fmacro-prefix-map=${CMAKE_SOURCE_DIR}/=)
find_program(TARN_CCACHE ccache)
if(TARN_CCACHE)
  # Relative paths, so that two checkouts share one cache.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${TARN_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

if(TARN_SANITIZE)
  # Debian's gRPC and protobuf carry no instrumentation, so the vptr check would judge objects it has not seen made.
  add_compile_options(-fsanitize=${TARN_SANITIZE} -fno-sanitize=vptr -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TARN_SANITIZE})
  if(TARN_SANITIZE MATCHES "thread")
    # protobuf's headers lay out their maps differently when they see this macro; Debian's library was built without it.
    # libstdc++ needs what it stands for.
    add_compile_options(-U__SANITIZE_THREAD__ -D_GLIBCXX_TSAN=1)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ 12 takes the instrumented destructors of variants for reads of what was never written.
    add_compile_options(-Wno-maybe-uninitialized)
  endif()
  if(TARN_SANITIZE MATCHES "fuzzer-no-link")
    string(REPLACE ",fuzzer-no-link" "" linked "${TARN_SANITIZE}")
    set_property(DIRECTORY PROPERTY LINK_OPTIONS -fsanitize=${linked})
  endif()
endif()

# Most builds are made once, so they are made to compile fast: a library's sources in batches (a third less time), tests
# with little optimisation (another third of theirs), with sanitizers none.
function(tarn_compile_in_batches target)
  if(TARN_BATCHES)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
    # A batch's own file is no header, though the compiler takes the sources that it includes for some.
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  endif()
endfunction()
set(TARN_TEST_OPTIONS -O1)
if(TARN_SANITIZE)
  set(TARN_TEST_OPTIONS -O0)
endif()

# The environment of every test of a sanitizer build; the suppressions are for libraries that are not ours.
set(suppressions ${CMAKE_SOURCE_DIR}/tests/sanitizers)
set(TARN_SANITIZER_ENVIRONMENT "")
set(TARN_SANITIZER_SOURCES "")
if(TARN_SANITIZE MATCHES "address")
  set(TARN_SANITIZER_ENVIRONMENT
    "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1"
    "LSAN_OPTIONS=suppressions=${suppressions}/leak.supp:print_suppressions=0"
    "UBSAN_OPTIONS=print_stacktrace=1")
elseif(TARN_SANITIZE MATCHES "thread")
  set(TARN_SANITIZER_SOURCES ${suppressions}/tsan_grpc.cc)
  set(TARN_SANITIZER_ENVIRONMENT
    "TSAN_OPTIONS=suppressions=${suppressions}/thread.supp:halt_on_error=1:second_deadlock_stack=1:ignore_noninstrumented_modules=1"
    # UCX's hooks in mmap and madvise run in ending threads, where ThreadSanitizer has gone already.
    "UCX_MEM_EVENTS=n")
endif()

# tarn_warnings(TARGET): the warnings that our own code must be free of.
function(tarn_warnings target)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wthread-safety>)
  endif()
  if(TARN_TIDY)
    set_target_properties(${target} PROPERTIES CXX_CLANG_TIDY "clang-tidy-14;--quiet;--warnings-as-errors=*")
  endif()
endfunction()
