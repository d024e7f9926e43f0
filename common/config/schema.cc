#include "common/config/schema.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/names.h"
#include "common/config/text.h"

namespace tarn::config {
namespace {

// The names that load() itself uses as flags.
bool is_reserved(std::string_view name) {
  return name == "config" || name == "help" || name == "version" || name == "print_config";
}

std::string replaced(std::string text, char from, char to) {
  std::replace(text.begin(), text.end(), from, to);
  return text;
}

std::string markdown_cell(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string range_text(const Item& item) {
  const Range open;
  const std::string min = format(item, item.range.min);
  const std::string max = format(item, item.range.max);
  if (item.range.max == open.max) return item.range.min == open.min ? "" : "at least " + min;
  return min + " to " + max;
}

}  // namespace

std::string Item::flag() const {
  return "--" + replaced(name, '_', '-');
}

std::string Item::limits() const {
  if (kind == Kind::choice) return join(choices, " or ");
  return range_text(*this);
}

Schema::Schema(std::string program, std::string purpose)
    : x_program(std::move(program)), x_purpose(std::move(purpose)) {
  TARN_CHECK(is_snake_case(replaced(x_program, '-', '_')));
}

void Schema::add(Item item) {
  TARN_CHECK(is_snake_case(item.name));
  TARN_CHECK(!is_reserved(item.name));
  TARN_CHECK(!index_of(item.name).has_value());
  TARN_CHECK(!item.doc.empty());
  if (const auto* number = std::get_if<uint64_t>(&item.initial)) {
    TARN_CHECK(item.range.holds(*number));
    TARN_CHECK(item.range.max <= Range{}.max);
  }
  x_items.push_back(std::move(item));
}

void Schema::add_string(std::string name, std::string initial, std::string doc) {
  add({std::move(name), Kind::text, std::move(doc), std::move(initial), {}, {}});
}

void Schema::add_bytes(std::string name, uint64_t initial, std::string doc, Range range) {
  add({std::move(name), Kind::bytes, std::move(doc), initial, range, {}});
}

void Schema::add_uint(std::string name, uint64_t initial, std::string doc, Range range) {
  add({std::move(name), Kind::number, std::move(doc), initial, range, {}});
}

void Schema::add_bool(std::string name, bool initial, std::string doc) {
  add({std::move(name), Kind::boolean, std::move(doc), initial, {}, {}});
}

void Schema::add_duration_ms(std::string name, Millis initial, std::string doc, Range range) {
  TARN_CHECK(initial.count() >= 0);
  const auto initial_ms = static_cast<uint64_t>(initial.count());
  add({std::move(name), Kind::duration, std::move(doc), initial_ms, range, {}});
}

void Schema::add_list(std::string name, std::vector<std::string> initial, std::string doc) {
  add({std::move(name), Kind::list, std::move(doc), std::move(initial), {}, {}});
}

void Schema::add_enum(std::string name, std::string initial, std::vector<std::string> choices,
                      std::string doc) {
  TARN_CHECK(std::count(choices.begin(), choices.end(), initial) == 1);
  add({std::move(name), Kind::choice, std::move(doc), std::move(initial), {}, std::move(choices)});
}

std::optional<size_t> Schema::index_of(std::string_view name) const {
  for (size_t i = 0; i < x_items.size(); ++i) {
    if (x_items[i].name == name) return i;
  }
  return std::nullopt;
}

std::string Schema::env_name(std::string_view item) const {
  std::string out = replaced(x_program, '-', '_') + "_" + std::string(item);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

std::string Schema::to_markdown() const {
  std::string out = "| item | default | allowed | meaning |\n|---|---|---|---|\n";
  for (const Item& item : x_items) {
    out += "| `" + item.name + "` | `" + markdown_cell(to_toml(item, item.initial)) + "` | " +
           markdown_cell(item.limits()) + " | " + markdown_cell(item.doc) + " |\n";
  }
  return out;
}

std::string_view version() {
  return TARN_VERSION;
}

}  // namespace tarn::config
