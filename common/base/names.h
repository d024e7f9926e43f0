#pragma once

#include <algorithm>
#include <string_view>

namespace tarn {

// True for words as configuration items, metrics and labels are called: a lower-case letter, then
// lower-case letters, digits and underscores.
constexpr bool is_snake_case(std::string_view name) {
  const auto is_lower = [](char c) { return c >= 'a' && c <= 'z'; };
  return !name.empty() && is_lower(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
    return is_lower(c) || c == '_' || (c >= '0' && c <= '9');
  });
}

}  // namespace tarn
