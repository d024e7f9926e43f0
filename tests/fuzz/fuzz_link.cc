#include <cstddef>
#include <cstdint>
#include <span>

#include "tests/fuzz/link_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tarn::fabric::LinkInput(std::span(data, size)).run();
  return 0;
}
