#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "common/base/check.h"

namespace tarn::wire {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

// Writes little-endian values one after the other. The space is the caller's, and enough by the
// limits of message.h: running out of it is our own mistake. One-thread.
class Writer {
 public:
  explicit Writer(MutableBytes into) : x_into(into) {}

  template <typename Int>
  void put(Int value) {
    static_assert(std::is_unsigned_v<Int>);
    TARN_CHECK(sizeof(Int) <= x_into.size() - x_written);
    for (size_t i = 0; i < sizeof(Int); ++i) {
      x_into[x_written++] = static_cast<std::byte>(value >> (8 * i));
    }
  }

  void put_bytes(const void* data, size_t bytes) {
    TARN_CHECK(bytes <= x_into.size() - x_written);
    if (bytes > 0) std::memcpy(x_into.data() + x_written, data, bytes);
    x_written += bytes;
  }

  size_t written() const { return x_written; }

 private:
  MutableBytes x_into;
  size_t x_written = 0;
};

// Reads little-endian values out of bytes that anyone may have made. After the first read past the
// end every value is zero and ok() is false, so that a decoder may ask once, at its end.
// One-thread.
class Reader {
 public:
  explicit Reader(Bytes from) : x_rest(from) {}

  template <typename Int>
  Int get() {
    static_assert(std::is_unsigned_v<Int>);
    if (!take(sizeof(Int))) return 0;
    Int value = 0;
    for (size_t i = 0; i < sizeof(Int); ++i) {
      value = static_cast<Int>(value | static_cast<Int>(static_cast<Int>(x_taken[i]) << (8 * i)));
    }
    return value;
  }

  // Leaves `into` as it was when the bytes are not there.
  void get_bytes(void* into, size_t bytes) {
    if (take(bytes) && bytes > 0) std::memcpy(into, x_taken.data(), bytes);
  }

  bool ok() const { return x_ok; }
  size_t left() const { return x_rest.size(); }

 private:
  bool take(size_t bytes) {
    x_ok = x_ok && bytes <= x_rest.size();
    if (!x_ok) return false;
    x_taken = x_rest.first(bytes);
    x_rest = x_rest.subspan(bytes);
    return true;
  }

  Bytes x_rest;
  Bytes x_taken;
  bool x_ok = true;
};

}  // namespace tarn::wire
