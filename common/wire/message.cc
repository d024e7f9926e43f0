#include "common/wire/message.h"

namespace tarn::wire {

namespace {

// Whether a character of UTF-8 goes on with this byte.
bool continues(char c) {
  return (static_cast<uint8_t>(c) & 0xc0) == 0x80;
}

// How many bytes of `text` are kept, so that no character is cut in two.
size_t kept_bytes(std::string_view text) {
  if (text.size() <= kTextBytesMax) return text.size();
  constexpr size_t kContinuationsMax = 3;
  for (size_t cut = 0; cut <= kContinuationsMax; ++cut) {
    if (!continues(text[kTextBytesMax - cut])) return kTextBytesMax - cut;
  }
  return kTextBytesMax;  // no UTF-8 anyway
}

}  // namespace

Text make_text(std::string_view text) {
  Text made;
  for (const char c : text.substr(0, kept_bytes(text)))
    made.push_back(c);
  return made;
}

}  // namespace tarn::wire
