#include <cstddef>
#include <cstdint>
#include <span>

#include "tests/fuzz/wire_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tarn::wire::check_wire_input(std::as_bytes(std::span(data, size)));
  return 0;
}
