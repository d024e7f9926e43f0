#pragma once

#include <cstdlib>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

// A reader of Prometheus's text format, as strict as its page: every line is a HELP, a TYPE or a
// sample, in that order for each family, which stands in one piece.
// https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details
namespace tarn::metrics {

using LabelMap = std::map<std::string, std::string>;

struct ParsedFamily {
  std::string help;
  std::string type;
  // By the sample's full name ("x_bucket") and its labels.
  std::map<std::pair<std::string, LabelMap>, double> samples;
};

class PrometheusText {
 public:
  // The families by name, or nothing and error() says which line is wrong.
  std::optional<std::map<std::string, ParsedFamily>> parse(std::string_view text) {
    while (!text.empty()) {
      const size_t end = text.find('\n');
      if (end == std::string_view::npos) return fail("no newline at the end", text);
      const std::string_view line = text.substr(0, end);
      text.remove_prefix(end + 1);
      const bool is_good = line.starts_with("# ") ? comment(line.substr(2)) : sample(line);
      if (!is_good) return fail("not understood", line);
    }
    return x_families;
  }

  const std::string& error() const { return x_error; }

 private:
  std::nullopt_t fail(std::string_view why, std::string_view line) {
    x_error = std::string(why) + ": " + std::string(line);
    return std::nullopt;
  }

  static std::string_view take_name(std::string_view& rest, bool colons) {
    const auto is_name = [colons](char c, bool first) {
      const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
      return is_letter || (colons && c == ':') || (!first && c >= '0' && c <= '9');
    };
    size_t size = 0;
    while (size < rest.size() && is_name(rest[size], size == 0))
      ++size;
    const std::string_view name = rest.substr(0, size);
    rest.remove_prefix(size);
    return name;
  }

  static bool skip(std::string_view& rest, std::string_view what) {
    if (!rest.starts_with(what)) return false;
    rest.remove_prefix(what.size());
    return true;
  }

  bool comment(std::string_view rest) {
    const bool is_help = rest.starts_with("HELP ");
    if (!skip(rest, is_help ? "HELP " : "TYPE ")) return false;
    const std::string name(take_name(rest, true));
    if (name.empty() || !skip(rest, " ")) return false;
    if (is_help) {
      if (x_families.contains(name)) return false;  // in one piece, and once
      x_families[name].help = rest;
      x_current = name;
      return true;
    }
    static const std::set<std::string_view> kTypes = {"counter", "gauge", "histogram", "summary"};
    if (name != x_current || !x_families[name].type.empty()) return false;
    x_families[name].type = rest;
    return kTypes.contains(rest);
  }

  // The text between quotes, with \\, \" and \n put back.
  static bool take_value(std::string_view& rest, std::string& value) {
    if (!skip(rest, "\"")) return false;
    while (!rest.empty() && rest[0] != '"') {
      if (rest[0] == '\\') {
        if (rest.size() < 2) return false;
        const char c = rest[1];
        if (c != '\\' && c != '"' && c != 'n') return false;
        value += c == 'n' ? '\n' : c;
        rest.remove_prefix(2);
      } else {
        value += rest[0];
        rest.remove_prefix(1);
      }
    }
    return skip(rest, "\"");
  }

  static bool take_labels(std::string_view& rest, LabelMap& labels) {
    if (!skip(rest, "{")) return true;
    while (!skip(rest, "}")) {
      if (!labels.empty() && !skip(rest, ",")) return false;
      const std::string name(take_name(rest, false));
      if (name.empty() || labels.contains(name) || !skip(rest, "=")) return false;
      if (!take_value(rest, labels[name])) return false;
    }
    return true;
  }

  bool sample(std::string_view rest) {
    const std::string name(take_name(rest, true));
    LabelMap labels;
    if (!take_labels(rest, labels) || !skip(rest, " ")) return false;
    const std::string number(rest);
    char* end = nullptr;
    const double value = std::strtod(number.c_str(), &end);
    if (number.empty() || *end != '\0') return false;
    if (!belongs_to_current(name)) return false;
    return x_families[x_current].samples.emplace(std::pair(name, labels), value).second;
  }

  bool belongs_to_current(std::string_view name) {
    const auto family = x_families.find(x_current);
    if (family == x_families.end() || !name.starts_with(x_current)) return false;
    const std::string_view end = name.substr(x_current.size());
    const std::string& type = family->second.type;
    if (type != "histogram" && type != "summary") return end.empty();
    return end == "_sum" || end == "_count" || end == (type == "histogram" ? "_bucket" : "");
  }

  std::map<std::string, ParsedFamily> x_families;
  std::string x_current;
  std::string x_error;
};

}  // namespace tarn::metrics
