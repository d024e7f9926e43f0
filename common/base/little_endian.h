#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace tarn {

// Numbers as they stand in our formats: least significant byte first, at any alignment.

template <typename Int>
void store_le(void* to, Int value) {
  static_assert(std::is_integral_v<Int>);
  const auto bits = static_cast<uint64_t>(value);
  auto* bytes = static_cast<uint8_t*>(to);
  for (size_t i = 0; i < sizeof(Int); ++i)
    bytes[i] = static_cast<uint8_t>(bits >> (8 * i));
}

template <typename Int>
Int load_le(const void* from) {
  static_assert(std::is_integral_v<Int>);
  uint64_t bits = 0;
  const auto* bytes = static_cast<const uint8_t*>(from);
  for (size_t i = 0; i < sizeof(Int); ++i)
    bits |= uint64_t{bytes[i]} << (8 * i);
  return static_cast<Int>(bits);
}

template <typename Int>
void append_le(std::string& out, Int value) {
  char bytes[sizeof(Int)];
  store_le(bytes, value);
  out.append(bytes, sizeof(Int));
}

}  // namespace tarn
