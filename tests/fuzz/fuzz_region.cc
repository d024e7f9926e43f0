#include <cstddef>
#include <cstdint>
#include <span>

#include "tests/fuzz/region_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tarn::flash::check_region_input(std::as_bytes(std::span(data, size)));
  return 0;
}
