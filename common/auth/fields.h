#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/check.h"
#include "common/base/little_endian.h"

namespace tarn::auth {

// The fields of tokens and tickets, one after another: integers little-endian, text as one byte of
// length and its bytes. There is one encoding of each value, so what is signed is what is read.

// Writes fields to the end of a string. One-thread.
class FieldWriter {
 public:
  template <typename Int>
  void put(Int value) {
    append_le(x_bytes, value);
  }

  void put_bytes(std::string_view bytes) { x_bytes += bytes; }

  // Precondition: at most 255 bytes.
  void put_text(std::string_view text) {
    TARN_CHECK(text.size() <= 255);
    put(static_cast<uint8_t>(text.size()));
    x_bytes += text;
  }

  std::string take() { return std::move(x_bytes); }

 private:
  std::string x_bytes;
};

// Reads fields that anyone may have written: every read says whether there was enough, and reads
// after a failed one fail too. Views what it is given. One-thread.
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : x_rest(bytes) {}

  template <typename Int>
  bool get(Int* value) {
    std::string_view bytes;
    if (!get_bytes(sizeof(Int), &bytes)) return false;
    *value = load_le<Int>(bytes.data());
    return true;
  }

  bool get_bytes(size_t size, std::string_view* bytes) {
    x_is_good = x_is_good && size <= x_rest.size();
    if (!x_is_good) return false;
    *bytes = x_rest.substr(0, size);
    x_rest.remove_prefix(size);
    return true;
  }

  bool get_text(std::string_view* text) {
    uint8_t size = 0;
    return get(&size) && get_bytes(size, text);
  }

  // True when every read succeeded and nothing is left.
  bool is_at_end() const { return x_is_good && x_rest.empty(); }

 private:
  std::string_view x_rest;
  bool x_is_good = true;
};

}  // namespace tarn::auth
