#include "common/auth/base64url.h"

#include <cstdint>

#include "common/base/check.h"

namespace tarn::auth {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

}  // namespace

std::string to_base64url(std::string_view bytes) {
  std::string text;
  uint32_t bits = 0;
  int bit_count = 0;
  for (const char c : bytes) {
    bits = (bits << 8) | static_cast<uint8_t>(c);
    for (bit_count += 8; bit_count >= 6; bit_count -= 6) {
      text += kAlphabet[(bits >> (bit_count - 6)) & 63];
    }
  }
  if (bit_count > 0) text += kAlphabet[(bits << (6 - bit_count)) & 63];
  TARN_DCHECK(text.size() == (bytes.size() * 8 + 5) / 6);
  return text;
}

std::optional<std::string> from_base64url(std::string_view text) {
  std::string bytes;
  uint32_t bits = 0;
  int bit_count = 0;
  for (const char c : text) {
    const size_t digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = (bits << 6) | static_cast<uint32_t>(digit);
    bit_count += 6;
    if (bit_count < 8) continue;
    bit_count -= 8;
    bytes += static_cast<char>((bits >> bit_count) & 0xff);
  }
  const bool has_spare_digit = bit_count >= 6;
  const bool has_spare_bits = (bits & ((1u << bit_count) - 1)) != 0;
  if (has_spare_digit || has_spare_bits) return std::nullopt;
  return bytes;
}

}  // namespace tarn::auth
