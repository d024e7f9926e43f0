#include "cli/tenant_client.h"

#include <utility>

namespace tarn::cli {
namespace {

// Enough keys that every server of a small cluster is the owner of one.
constexpr size_t kProbes = 256;

SpaceSpec probe_spec() {
  SpaceSpec spec;
  spec.model = "tarn-status";
  spec.hash_scheme = "probe";
  spec.flat = true;
  return spec;
}

}  // namespace

Status status_of(Outcome outcome, std::string message) {
  // The SDK's outcomes carry the numbers of our codes.
  const auto code = static_cast<Code>(outcome);
  if (message.empty()) message = outcome_name(outcome);
  return code == Code::ok ? Status::ok() : Status(code, std::move(message));
}

Result<Client> connect_client(const ClusterFlags& flags) {
  ClientOptions options;
  options.endpoint = flags.endpoint;
  options.credentials = flags.credentials;
  options.timeout_ms = flags.timeout_ms;
  auto client = Client::connect(options);
  if (client) return std::move(client).value();
  const Status why = status_of(client.error());
  if (!is_retryable(why.code())) return why;
  return Status(why.code(), "no router answers: " + why.message());
}

Result<std::vector<ConnectionReport>> find_connections(const ClusterFlags& flags) {
  TARN_ASSIGN_OR_RETURN(Client client, connect_client(flags));
  auto space = client.open_space(probe_spec());
  if (!space) return status_of(space.error());
  std::vector<BlockHash> hashes;
  for (size_t i = 0; i < kProbes; ++i)
    hashes.push_back("probe " + std::to_string(i));
  // That no server has them is well; a server that does not answer shows by its absence.
  const auto ignored = space->exists(hashes);
  (void)ignored;
  std::vector<ConnectionReport> found;
  for (const ConnectionInfo& one : client.connections())
    found.push_back({one.server, one.endpoint, one.transport, one.note});
  return found;
}

}  // namespace tarn::cli
