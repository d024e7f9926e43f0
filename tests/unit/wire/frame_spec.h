#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "common/wire/encode.h"

// Headers written by docs/WIRE.md alone, field after field: a second writing of the protocol, which
// shares nothing with encode().
namespace tarn::wire {

class FrameSpec {
 public:
  // The envelope, with a zero MAC; its length is put in when the frame is asked for.
  FrameSpec(int type, int flags) {
    x_bytes = "TRN1";
    number(1, 2).number(static_cast<uint64_t>(type), 1).number(static_cast<uint64_t>(flags), 1);
    number(0, 4);
    number(0x1122334455667788, 8).number(0x0003000000000029, 8).bytes(std::string(16, '\0'));
  }

  // Little endian.
  FrameSpec& number(uint64_t value, int size) {
    for (int i = 0; i < size; ++i) {
      x_bytes += static_cast<char>(value & 255);
      value /= 256;
    }
    return *this;
  }
  FrameSpec& bytes(const std::string& raw) {
    x_bytes += raw;
    return *this;
  }
  // A hash or a text: one byte of size, and so many bytes.
  FrameSpec& sized(const std::string& raw) { return number(raw.size(), 1).bytes(raw); }
  // Epoch, deadline, space, tenant: 48 bytes.
  FrameSpec& head(uint64_t epoch, uint64_t deadline_us, char space, char tenant) {
    number(epoch, 8).number(deadline_us, 8);
    return bytes(std::string(16, space)).bytes(std::string(16, tenant));
  }

  std::string frame() const {
    std::string whole = x_bytes;
    whole[8] = static_cast<char>(whole.size() & 255);
    whole[9] = static_cast<char>(whole.size() / 256);
    return whole;
  }

 private:
  std::string x_bytes;
};

inline HeaderBuffer header_of(const std::string& frame) {
  HeaderBuffer header;
  header.size = frame.size();
  std::memcpy(header.bytes.data(), frame.data(), frame.size());
  return header;
}

inline HeaderBuffer header_of(const FrameSpec& spec) {
  return header_of(spec.frame());
}

inline std::string text_of(const HeaderBuffer& header) {
  return {reinterpret_cast<const char*>(header.bytes.data()), header.size};
}

}  // namespace tarn::wire
