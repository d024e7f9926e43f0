#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace tarn::auth {

// What a credential makes of its holder. The numbers travel in tokens and tickets and never change.
enum class Role : uint8_t {
  tenant = 1,  // who owns data
  worker = 2,  // a GPU inference process of one tenant
  server = 3,
  router = 4,
  admin = 5,
};

// "tenant", "worker", ...; "unknown" for a number that is none.
std::string_view role_name(Role role);
std::optional<Role> role_from_name(std::string_view name);
std::optional<Role> role_from_number(uint8_t number);

// Whom a verified credential names. A plain value; tenant and role of a request come from here
// alone, never from its body.
struct Identity {
  Role role = Role::tenant;
  std::string name;    // a worker's is TENANT/WORKER
  std::string tenant;  // the tenant's or worker's tenant; empty for the other roles

  friend bool operator==(const Identity&, const Identity&) = default;
};

// A name is 1 to kNameBytesMax bytes of [a-z0-9._-], the first a letter or a digit. A worker's is
// two such words with one slash between them, kNameBytesMax bytes in all.
// Returns: the identity with its tenant filled in; invalid_argument with what is wrong.
Result<Identity> make_identity(Role role, std::string_view name);

// "tarn://ROLE/NAME", as certificates carry it, and back. Returns: the identity; invalid_argument.
std::string identity_uri(const Identity& identity);
Result<Identity> identity_from_uri(std::string_view uri);

}  // namespace tarn::auth
