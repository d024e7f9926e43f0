#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tarn::object {

// The little of XML that S3 answers need: flat elements without attributes. Whatever a server sends
// may be given.

// The text between <name> and </name>, its first occurrence; nothing for none.
std::optional<std::string> xml_text(std::string_view xml, std::string_view name);

// What stands between each <name> and </name>, as it is.
std::vector<std::string_view> xml_elements(std::string_view xml, std::string_view name);

}  // namespace tarn::object
