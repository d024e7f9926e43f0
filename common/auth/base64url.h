#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tarn::auth {

// RFC 4648 section 5 without padding. Each string of bytes has exactly one encoding: decoding
// refuses padding, other alphabets and set bits after the last byte.
std::string to_base64url(std::string_view bytes);
std::optional<std::string> from_base64url(std::string_view text);

}  // namespace tarn::auth
