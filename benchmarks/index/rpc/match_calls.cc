#include "benchmarks/index/rpc/match_calls.h"

#include <utility>
#include <vector>

#include <grpcpp/client_context.h>

#include "common/auth/secrets_dir.h"
#include "common/auth/token.h"
#include "common/rpc/convert.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/router.grpc.pb.h"
#include "router/cluster/config_view.h"
#include "router/rpc/front.h"
#include "router/rpc/lookup_service.h"

namespace tarn::index_bench {
namespace {

constexpr Millis kTimeout{10'000};

Result<rpc::TlsMaterial> material(const auth::SecretsDir& secrets, const auth::Identity& self) {
  rpc::TlsMaterial tls;
  TARN_ASSIGN_OR_RETURN(tls.ca_pem, secrets.ca_pem());
  TARN_ASSIGN_OR_RETURN(auth::CertifiedKey own, secrets.certificate(self));
  tls.certificate_pem = std::move(own.certificate_pem);
  tls.key_pem = std::move(own.key_pem);
  return tls;
}

}  // namespace

struct MatchCalls::Parts {
  cluster::ConfigView config;
  metrics::Registry registry;
  std::unique_ptr<rpc::Authenticator> authenticator;
  std::unique_ptr<router::Front> front;
  std::unique_ptr<v1::Lookup::Stub> stub;

  Status serve(const index::Index& index, const rpc::TlsMaterial& tls) {
    authenticator = std::make_unique<rpc::Authenticator>(nullptr, system_clock(), false);
    router::LookupOptions options;
    options.index = &index;
    options.config = &config;
    options.authenticator = authenticator.get();
    options.registry = &registry;
    options.is_synced = [] { return true; };
    options.doubt = [](std::span<const index::Doubt>) {};
    std::vector<std::shared_ptr<grpc::Service>> services;
    services.push_back(router::make_lookup_service(std::move(options)));
    TARN_ASSIGN_OR_RETURN(front, router::Front::open("127.0.0.1:0", tls, std::move(services)));
    return Status::ok();
  }
};

Result<std::unique_ptr<MatchCalls>> MatchCalls::open(const index::Index& index,
                                                     const std::string& tenant,
                                                     const std::string& folder) {
  TARN_ASSIGN_OR_RETURN(const auto router, auth::make_identity(auth::Role::router, "router"));
  TARN_ASSIGN_OR_RETURN(const auto client, auth::make_identity(auth::Role::tenant, tenant));
  auth::SecretsOptions wanted;
  wanted.identities = {router, client};
  TARN_ASSIGN_OR_RETURN(const auto secrets, auth::SecretsDir::create_all(folder, wanted));
  TARN_ASSIGN_OR_RETURN(const auto router_tls, material(secrets, router));
  TARN_ASSIGN_OR_RETURN(const auto client_tls, material(secrets, client));
  auto parts = std::make_unique<Parts>();
  TARN_RETURN_IF_ERROR(parts->serve(index, router_tls));
  const std::string endpoint = "127.0.0.1:" + std::to_string(parts->front->port());
  TARN_ASSIGN_OR_RETURN(const auto channel,
                        rpc::open_channel(endpoint, auth::Role::router, client_tls));
  parts->stub = v1::Lookup::NewStub(channel);
  return std::unique_ptr<MatchCalls>(new MatchCalls(std::move(parts)));
}

MatchCalls::MatchCalls(std::unique_ptr<Parts> parts) : x_parts(std::move(parts)) {}
MatchCalls::~MatchCalls() = default;

Result<uint32_t> MatchCalls::match(const SpaceId& space, std::span<const uint64_t> digests) {
  grpc::ClientContext call;
  rpc::set_timeout(call, kTimeout);
  v1::MatchRequest request;
  request.set_space(rpc::to_bytes(space));
  request.mutable_digests()->Add(digests.begin(), digests.end());
  v1::MatchResponse response;
  const Status status = rpc::from_grpc(x_parts->stub->Match(&call, request, &response));
  if (!status.is_ok()) return status;
  return response.matched();
}

}  // namespace tarn::index_bench
