#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include <toml++/toml.h>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/config/sources.h"
#include "common/config/text.h"

namespace tarn::config {
namespace {

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

Status unreadable(const std::string& path, int error) {
  return invalid_argument(
      path + ": cannot read the configuration file: " + std::generic_category().message(error));
}

Result<std::string> read_all(const std::string& path) {
  if (TARN_FAULT_POINT("config.read")) return unreadable(path, EIO);
  const std::unique_ptr<std::FILE, FileCloser> file(std::fopen(path.c_str(), "rb"));
  if (!file) return unreadable(path, errno);
  std::string text(kFileBytesMax + 1, '\0');
  const size_t length = std::fread(text.data(), 1, text.size(), file.get());
  if (std::ferror(file.get()) != 0) return unreadable(path, errno);
  if (length > kFileBytesMax) {
    return invalid_argument(path + ": larger than 1MiB: this is not a configuration file");
  }
  text.resize(length);
  return text;
}

// A node by the name that a reader of TOML knows.
std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "a boolean";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::table:
      return "a table";
    default:
      return "a date or time";
  }
}

std::string_view wanted(Kind kind) {
  switch (kind) {
    case Kind::text:
      return "a string";
    case Kind::bytes:
      return "a size, such as \"4GiB\"";
    case Kind::number:
      return "a whole number";
    case Kind::boolean:
      return "true or false";
    case Kind::duration:
      return "a duration, such as \"200ms\"";
    case Kind::list:
      return "an array of strings";
    case Kind::choice:
      return "one of its words as a string";
  }
  return "something else";
}

Status wrong_type(const Item& item, const toml::node& node) {
  return invalid_argument(item.name + " is " + std::string(type_name(node)) + ", must be " +
                          std::string(wanted(item.kind)));
}

bool is_numeric(Kind kind) {
  return kind == Kind::bytes || kind == Kind::number || kind == Kind::duration;
}

Result<Value> to_list(const Item& item, const toml::array& array) {
  std::vector<std::string> words;
  for (const toml::node& element : array) {
    const auto* word = element.as_string();
    if (word == nullptr) {
      return invalid_argument(item.name + " holds " + std::string(type_name(element)) +
                              ", must be an array of strings");
    }
    words.push_back(word->get());
  }
  return Value(std::move(words));
}

Result<Value> to_number(const Item& item, int64_t number) {
  if (number >= 0) return in_range(item, static_cast<uint64_t>(number));
  return invalid_argument(item.name + " = " + std::to_string(number) + " is negative");
}

Result<Value> to_value(const Item& item, const toml::node& node) {
  if (const auto* integer = node.as_integer(); integer && is_numeric(item.kind)) {
    return to_number(item, integer->get());
  }
  if (const auto* flag = node.as_boolean(); flag && item.kind == Kind::boolean) {
    return Value(flag->get());
  }
  if (const auto* array = node.as_array(); array && item.kind == Kind::list) {
    return to_list(item, *array);
  }
  const bool reads_text = item.kind == Kind::text || item.kind == Kind::bytes ||
                          item.kind == Kind::duration || item.kind == Kind::choice;
  if (const auto* text = node.as_string(); text && reads_text) return parse(item, text->get());
  return wrong_type(item, node);
}

Result<Settings> to_settings(const Schema& schema, const std::string& path,
                             const toml::table& table) {
  struct Entry {
    size_t line;
    std::string name;
    const toml::node* node;
  };
  std::vector<Entry> entries;
  for (const auto& [key, node] : table) {
    entries.push_back({key.source().begin.line, std::string(key.str()), &node});
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.line < b.line; });
  Settings settings;
  for (const Entry& entry : entries) {
    TARN_CHECK(entry.node != nullptr);
    const std::string where = path + ":" + std::to_string(entry.line);
    const auto index = schema.index_of(entry.name);
    if (!index) return invalid_argument(where + ": " + unknown_item(schema, entry.name));
    Result<Value> value = to_value(schema.items()[*index], *entry.node);
    if (!value) return invalid_argument(where + ": " + value.error().message());
    settings.emplace_back(*index, Setting{std::move(*value), where});
  }
  return settings;
}

}  // namespace

Result<Settings> read_file(const Schema& schema, const std::string& path) {
  TARN_ASSIGN_OR_RETURN(const std::string text, read_all(path));
  try {
    return to_settings(schema, path, toml::parse(text, path));
  } catch (const toml::parse_error& error) {
    const auto line = error.source().begin.line;
    return invalid_argument(path + ":" + std::to_string(line) + ": " +
                            std::string(error.description()));
  }
}

}  // namespace tarn::config
