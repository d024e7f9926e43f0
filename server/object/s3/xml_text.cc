#include "server/object/s3/xml_text.h"

#include <array>
#include <utility>

namespace tarn::object {
namespace {

constexpr std::array<std::pair<std::string_view, char>, 5> kEntities = {
    {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}}};

std::string unescaped(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    size_t taken = 1;
    char next = text.front();
    for (const auto& [entity, meant] : kEntities) {
      if (!text.starts_with(entity)) continue;
      taken = entity.size();
      next = meant;
    }
    plain += next;
    text.remove_prefix(taken);
  }
  return plain;
}

// The first such element of `xml`, which is cut behind it.
std::optional<std::string_view> take_element(std::string_view& xml, std::string_view name) {
  const std::string opening = "<" + std::string(name) + ">";
  const std::string closing = "</" + std::string(name) + ">";
  const size_t begin = xml.find(opening);
  if (begin == std::string_view::npos) return std::nullopt;
  const size_t end = xml.find(closing, begin);
  if (end == std::string_view::npos) return std::nullopt;
  const size_t inner = begin + opening.size();
  const std::string_view found = xml.substr(inner, end - inner);
  xml.remove_prefix(end + closing.size());
  return found;
}

}  // namespace

std::optional<std::string> xml_text(std::string_view xml, std::string_view name) {
  const auto found = take_element(xml, name);
  if (!found) return std::nullopt;
  return unescaped(*found);
}

std::vector<std::string_view> xml_elements(std::string_view xml, std::string_view name) {
  std::vector<std::string_view> all;
  while (const auto found = take_element(xml, name))
    all.push_back(*found);
  return all;
}

}  // namespace tarn::object
