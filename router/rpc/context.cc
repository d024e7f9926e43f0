#include "router/rpc/context.h"

#include <algorithm>

namespace tarn::router {

Result<auth::Identity> require(const RouterContext& context, const grpc::ServerContextBase& call,
                               Roles roles) {
  TARN_ASSIGN_OR_RETURN(auth::Identity caller, context.authenticator.caller(call));
  if (std::find(roles.begin(), roles.end(), caller.role) != roles.end()) return caller;
  std::string names;
  for (const auth::Role role : roles)
    names += (names.empty() ? "" : ", ") + std::string(auth::role_name(role));
  return permission_denied("this call is for " + names + ", not for " +
                           std::string(auth::role_name(caller.role)) + " " + caller.name);
}

}  // namespace tarn::router
