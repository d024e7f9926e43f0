#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/config/schema.h"

// How values are written by people, and written for them. Pure functions.
namespace tarn::config {

// Reads what a flag, a variable or a TOML string says. Returns: the value, invalid_argument with a
// sentence that names the item, the text and what is allowed.
Result<Value> parse(const Item& item, std::string_view text);

// Passes a number on when the item's range holds it. Returns: the value, invalid_argument.
Result<Value> in_range(const Item& item, uint64_t number);

// A number as the item's kind is written: "4GiB", "200ms", "7".
std::string format(const Item& item, uint64_t number);

// A value as it stands in a TOML file after "item = ".
std::string to_toml(const Item& item, const Value& value);

bool is_utf8(std::string_view text);

std::string join(const std::vector<std::string>& words, std::string_view separator);

// The word of `known` that `word` most likely meant; empty when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace tarn::config
