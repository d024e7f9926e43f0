#include <string>

#include "common/auth/ticket.h"
#include "common/base/check.h"
#include "common/rpc/convert.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/router.grpc.pb.h"
#include "router/rpc/services.h"

namespace tarn::router {
namespace {

using auth::Role;

constexpr int64_t kTicketLifeMs = 10 * 60 * 1000;

uint32_t rights_of(Role role, bool read_only) {
  switch (role) {
    case Role::tenant:
    case Role::worker:
      return read_only ? auth::right::kRead : auth::right::kRead | auth::right::kWrite;
    case Role::server:
      return auth::right::kReplicate;
    case Role::router:
      return auth::right::kAdmin;
    case Role::admin:
      break;  // touches no blocks
  }
  return 0;
}

// The newest key that outlives the ticket, or null.
const TicketKey* pick_key(const ring::ClusterConfig& config, int64_t expires_ms) {
  const TicketKey* best = nullptr;
  for (const TicketKey& key : config.ticket_keys) {
    if (key.not_after_ms != 0 && key.not_after_ms < expires_ms) continue;
    if (best == nullptr || key.id > best->id) best = &key;
  }
  return best;
}

class TicketService : public v1::Tickets::CallbackService {
 public:
  explicit TicketService(RouterContext& context) : x_context(context) {}

  grpc::ServerUnaryReactor* IssueTicket(grpc::CallbackServerContext* call,
                                        const v1::IssueTicketRequest* request,
                                        v1::IssueTicketResponse* response) override {
    auto* const reactor = call->DefaultReactor();
    reactor->Finish(rpc::to_grpc(issue(*call, *request, response)));
    return reactor;
  }

 private:
  Status issue(const grpc::CallbackServerContext& call, const v1::IssueTicketRequest& request,
               v1::IssueTicketResponse* response) {
    TARN_ASSIGN_OR_RETURN(
        const auth::Identity caller,
        require(x_context, call, {Role::tenant, Role::worker, Role::server, Role::router}));
    TARN_ASSIGN_OR_RETURN(auth::Ticket ticket, ticket_for(caller, request));
    const auto config = x_context.config.current();
    if (config == nullptr) return unavailable("the cluster has no config yet");
    const auto revocation = config->revocations.find(caller.tenant);
    if (revocation != config->revocations.end()) ticket.revocation = revocation->second;
    const TicketKey* const key = pick_key(*config, ticket.expires_ms);
    if (key == nullptr) return unavailable("the config has no ticket key that lasts");
    TARN_ASSIGN_OR_RETURN(const auth::SealedTicket sealed, auth::seal_ticket(ticket, *key));
    response->set_ticket(sealed.bytes);
    response->set_client_key(sealed.client_key);
    response->set_expires_unix_ms(ticket.expires_ms);
    return Status::ok();
  }

  Result<auth::Ticket> ticket_for(const auth::Identity& caller,
                                  const v1::IssueTicketRequest& request) const {
    auth::Ticket ticket;
    ticket.holder = caller;
    ticket.rights = rights_of(caller.role, request.read_only());
    TARN_CHECK(ticket.rights != 0);
    ticket.issued_ms = x_context.clock.unix_ms();
    ticket.expires_ms = ticket.issued_ms + kTicketLifeMs;
    if (static_cast<size_t>(request.spaces_size()) > auth::kTicketSpacesMax) {
      return invalid_argument("spaces: more than 64; leave it empty for all");
    }
    for (const std::string& bytes : request.spaces()) {
      TARN_ASSIGN_OR_RETURN(const SpaceId space, rpc::space_id_from(bytes));
      ticket.spaces.push_back(space);
    }
    return ticket;
  }

  RouterContext& x_context;
};

}  // namespace

std::shared_ptr<grpc::Service> make_ticket_service(RouterContext& context) {
  return std::make_shared<TicketService>(context);
}

}  // namespace tarn::router
