#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cli/cluster_flags.h"
#include "cli/credentials_folder.h"
#include "cli/rpc/admin_client.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace tarn::cli {

// As whom a command asks a router.
enum class Speaker : uint8_t { operator_first, client };

// The routers to ask and what to show them. A plain value.
struct RouterSearch {
  std::string folder;
  std::vector<std::string> endpoints;  // at least one
  Proof proof;
  Millis timeout{0};

  RouterCredentials credentials() const {
    return {proof.ca_pem, proof.certificate_pem, proof.key_pem, proof.token};
  }
};

// Returns: whom to ask; invalid_argument or not_found that says what to name.
Result<RouterSearch> find_routers(const ClusterFlags& flags, Speaker speaker);

// The first router that answers decides: what one of them refuses, no other would grant. `ask`
// takes a Client and returns a Result.
template <typename Client, typename Ask>
auto ask_any(const RouterSearch& search, Ask ask) -> decltype(ask(std::declval<Client&>())) {
  Status last = unavailable("no router answers");
  for (const std::string& endpoint : search.endpoints) {
    TARN_ASSIGN_OR_RETURN(Client client,
                          Client::open(endpoint, search.credentials(), search.timeout));
    auto answer = ask(client);
    if (answer.has_value() || !is_retryable(answer.error().code())) return answer;
    last = answer.error();
  }
  return last;
}

}  // namespace tarn::cli
