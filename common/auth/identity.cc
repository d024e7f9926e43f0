#include "common/auth/identity.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/units.h"

namespace tarn::auth {
namespace {

constexpr std::string_view kScheme = "tarn://";

constexpr std::array<std::pair<Role, std::string_view>, 5> kRoles = {{
    {Role::tenant, "tenant"},
    {Role::worker, "worker"},
    {Role::server, "server"},
    {Role::router, "router"},
    {Role::admin, "admin"},
}};

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_word(std::string_view text) {
  return !text.empty() && is_letter_or_digit(text.front()) &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-';
         });
}

Status bad_name(Role role) {
  const std::string form = role == Role::worker ? "TENANT/WORKER, each" : "1 to 128 bytes";
  return invalid_argument("a " + std::string(role_name(role)) + "'s name is " + form +
                          " of a-z, 0-9, '.', '_', '-', beginning with a letter or a digit, and"
                          " at most 128 bytes in all");
}

}  // namespace

std::string_view role_name(Role role) {
  for (const auto& [known, name] : kRoles) {
    if (known == role) return name;
  }
  return "unknown";
}

std::optional<Role> role_from_name(std::string_view name) {
  for (const auto& [role, known] : kRoles) {
    if (known == name) return role;
  }
  return std::nullopt;
}

std::optional<Role> role_from_number(uint8_t number) {
  for (const auto& [role, name] : kRoles) {
    if (static_cast<uint8_t>(role) == number) return role;
  }
  return std::nullopt;
}

Result<Identity> make_identity(Role role, std::string_view name) {
  if (!role_from_number(static_cast<uint8_t>(role))) return invalid_argument("no such role");
  if (name.size() > kNameBytesMax) return bad_name(role);
  Identity identity{role, std::string(name), {}};
  if (role == Role::worker) {
    const size_t slash = name.find('/');
    if (slash == std::string_view::npos) return bad_name(role);
    if (!is_word(name.substr(0, slash)) || !is_word(name.substr(slash + 1))) return bad_name(role);
    identity.tenant = name.substr(0, slash);
    return identity;
  }
  if (!is_word(name)) return bad_name(role);
  if (role == Role::tenant) identity.tenant = name;
  return identity;
}

std::string identity_uri(const Identity& identity) {
  std::string uri(kScheme);
  uri += role_name(identity.role);
  uri += '/';
  uri += identity.name;
  return uri;
}

Result<Identity> identity_from_uri(std::string_view uri) {
  if (!uri.starts_with(kScheme)) return invalid_argument("an identity begins with tarn://");
  uri.remove_prefix(kScheme.size());
  const size_t slash = uri.find('/');
  if (slash == std::string_view::npos) return invalid_argument("an identity is tarn://ROLE/NAME");
  const auto role = role_from_name(uri.substr(0, slash));
  if (!role) {
    return invalid_argument(
        "an identity's role is one of tenant, worker, server, router and admin");
  }
  return make_identity(*role, uri.substr(slash + 1));
}

}  // namespace tarn::auth
