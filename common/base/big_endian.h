#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace tarn {

// Numbers as they stand in keys of sorted stores: most significant byte first, so that they sort as
// bytes as they do as numbers.

// The width is named, never taken from what is passed.
template <typename Int>
void append_be(std::string& out, std::type_identity_t<Int> value) {
  static_assert(std::is_unsigned_v<Int>);
  for (size_t i = sizeof(Int); i > 0; --i)
    out += static_cast<char>(uint64_t{value} >> (8 * (i - 1)));
}

// The number in all of `bytes`, eight at most.
inline uint64_t load_be(std::string_view bytes) {
  uint64_t number = 0;
  for (const char c : bytes)
    number = number << 8 | static_cast<uint8_t>(c);
  return number;
}

}  // namespace tarn
