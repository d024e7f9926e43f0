# How a folder becomes a library, a program or a test. Sources are found by name, so adding a file needs no edit here.

# What scripts build without the rest: all programs, the tests of one label, all fuzzers.
add_custom_target(programs)
add_custom_target(fast_tests)
add_custom_target(slow_tests)
add_custom_target(fuzzers)

# tarn_add_modules(ROOT...): adds each root, or its direct children, that holds a CMakeLists.txt.
function(tarn_add_modules)
  foreach(root IN LISTS ARGN)
    if(EXISTS ${CMAKE_SOURCE_DIR}/${root}/CMakeLists.txt)
      add_subdirectory(${root})
    else()
      file(GLOB lists CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${root}/*/CMakeLists.txt)
      foreach(list IN LISTS lists)
        get_filename_component(folder ${list} DIRECTORY)
        add_subdirectory(${folder})
      endforeach()
    endif()
  endforeach()
endfunction()

# tarn_library(NAME [SOURCES file...] [DEPS public targets] [PRIVATE_DEPS targets]): library tarn_NAME, alias tarn::NAME.
# Without SOURCES: all *.cc of the folder but main.cc.
function(tarn_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  if(NOT arg_SOURCES)
    file(GLOB arg_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
    list(FILTER arg_SOURCES EXCLUDE REGEX "/main\\.cc$")
  endif()
  if(arg_SOURCES)
    add_library(tarn_${name} STATIC ${arg_SOURCES})
    target_include_directories(tarn_${name} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(tarn_${name} PUBLIC ${arg_DEPS} PRIVATE ${arg_PRIVATE_DEPS})
    tarn_warnings(tarn_${name})
    tarn_compile_in_batches(tarn_${name})
  else()
    add_library(tarn_${name} INTERFACE)
    target_include_directories(tarn_${name} INTERFACE ${CMAKE_SOURCE_DIR})
    target_link_libraries(tarn_${name} INTERFACE ${arg_DEPS} ${arg_PRIVATE_DEPS})
  endif()
  add_library(tarn::${name} ALIAS tarn_${name})
endfunction()

# tarn_program(NAME DEPS targets [SOURCES file...]): executable NAME, from main.cc unless told otherwise, in build/PRESET/bin.
function(tarn_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  if(NOT arg_SOURCES)
    set(arg_SOURCES main.cc)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  tarn_warnings(${name})
  add_dependencies(programs ${name})
endfunction()

# tarn_unit_tests(NAME DEPS targets): the folder's *_test.cc become the ctest NAME with the label fast,
# its *_slow_test.cc become NAME_slow with the label slow.
function(tarn_unit_tests name)
  cmake_parse_arguments(arg "" "" "DEPS" ${ARGN})
  file(GLOB slow CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_slow_test.cc)
  file(GLOB fast CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cc)
  list(FILTER fast EXCLUDE REGEX "_slow_test\\.cc$")
  foreach(speed fast slow)
    if(${speed})
      set(test ${name})
      if(speed STREQUAL "slow")
        set(test ${name}_slow)
      endif()
      add_executable(test_${test} ${${speed}} ${TARN_SANITIZER_SOURCES})
      target_link_libraries(test_${test} PRIVATE ${arg_DEPS} GTest::gmock GTest::gtest_main)
      target_compile_definitions(test_${test} PRIVATE TARN_SOURCE_DIR="${CMAKE_SOURCE_DIR}" TARN_BINARY_DIR="${CMAKE_BINARY_DIR}")
      tarn_warnings(test_${test})
      set_target_properties(test_${test} PROPERTIES CXX_CLANG_TIDY "")
      target_compile_options(test_${test} PRIVATE ${TARN_TEST_OPTIONS})
      add_dependencies(${speed}_tests test_${test})
      add_test(NAME ${test} COMMAND test_${test})
      set_tests_properties(${test} PROPERTIES LABELS ${speed} TIMEOUT 600
        ENVIRONMENT "${TARN_SANITIZER_ENVIRONMENT}")
    endif()
  endforeach()
endfunction()

# tarn_process_test(NAME LABEL fast|slow COMMAND command...): a ctest that is a script or starts real programs. It finds
# TARN_SOURCE_DIR, TARN_BINARY_DIR and PYTHONPATH in its environment, and runs alone.
function(tarn_process_test name)
  cmake_parse_arguments(arg "" "LABEL" "COMMAND" ${ARGN})
  add_test(NAME ${name} COMMAND ${arg_COMMAND} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT 1200 RUN_SERIAL ON
    ENVIRONMENT "TARN_SOURCE_DIR=${CMAKE_SOURCE_DIR};TARN_BINARY_DIR=${CMAKE_BINARY_DIR};PYTHONPATH=${CMAKE_BINARY_DIR}/python;${TARN_SANITIZER_ENVIRONMENT}")
endfunction()

# tarn_fuzzer(NAME DEPS targets): libFuzzer program bin/fuzz_NAME from fuzz_NAME.cc; its seeds are in corpus/NAME.
function(tarn_fuzzer name)
  cmake_parse_arguments(arg "" "" "DEPS" ${ARGN})
  add_executable(fuzz_${name} fuzz_${name}.cc)
  target_link_libraries(fuzz_${name} PRIVATE ${arg_DEPS})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  tarn_warnings(fuzz_${name})
  add_dependencies(fuzzers fuzz_${name})
endfunction()
