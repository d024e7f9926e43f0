#include "router/router.h"

#include <utility>
#include <vector>

#include "common/auth/secret_file.h"
#include "common/auth/secrets_dir.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/metrics/endpoint.h"
#include "common/metrics/registry.h"
#include "router/rpc/front.h"
#include "router/rpc/lookups.h"
#include "router/rpc/services.h"

namespace tarn::router {
namespace {

// A router of an insecure loopback shows a token of its own making; it lives as long as the router.
constexpr int64_t kOwnTokenLifeMs = int64_t{10} * 365 * 24 * 3600 * 1000;

struct Credentials {
  std::shared_ptr<const auth::TokenVerifier> verifier;
  rpc::TlsMaterial tls;
};

Result<Credentials> read_credentials(const RouterOptions& options) {
  TARN_ASSIGN_OR_RETURN(const auto self, auth::make_identity(auth::Role::router, options.name));
  TARN_ASSIGN_OR_RETURN(const auto secrets, auth::SecretsDir::open(options.secrets_dir));
  TARN_ASSIGN_OR_RETURN(auto verifier, secrets.token_verifier());
  Credentials out;
  out.verifier = std::make_shared<const auth::TokenVerifier>(std::move(verifier));
  out.tls.insecure_loopback = options.insecure_loopback;
  TARN_ASSIGN_OR_RETURN(out.tls.ca_pem, secrets.ca_pem());
  if (options.insecure_loopback) {
    TARN_ASSIGN_OR_RETURN(const auto signer, secrets.token_signer());
    TARN_ASSIGN_OR_RETURN(out.tls.token,
                          signer.sign(self, system_clock().unix_ms() + kOwnTokenLifeMs));
    return out;
  }
  TARN_ASSIGN_OR_RETURN(auth::CertifiedKey own, secrets.certificate(self));
  out.tls.certificate_pem = std::move(own.certificate_pem);
  out.tls.key_pem = std::move(own.key_pem);
  return out;
}

pool::WorkerPool::Listener teller(cluster::Events& events, cluster::EventKind kind) {
  return [&events, kind](const std::string& tenant, const std::string& name) {
    log::info("worker {} of {} {}", name, tenant,
              kind == cluster::EventKind::worker_up ? "is up" : "is lost");
    events.tell({kind, name, tenant, Epoch{}, system_clock().unix_ms()});
  };
}

}  // namespace

// In the order in which they stand on each other.
struct Router::Parts {
  Parts(const RouterOptions& options, Credentials credentials,
        std::unique_ptr<member::Authority> the_authority)
      : authority(std::move(the_authority)),
        authenticator(std::move(credentials.verifier), system_clock(), options.insecure_loopback),
        servers(system_clock(), options.timing.dead_after),
        workers(system_clock(), options.timing.dead_after,
                {teller(events, cluster::EventKind::worker_up),
                 teller(events, cluster::EventKind::worker_lost)}),
        controller({system_clock(), *authority, servers, view, events, metrics},
                   {options.cluster, options.timing}),
        context{system_clock(),
                authenticator,
                *authority,
                view,
                servers,
                controller,
                events,
                workers,
                streams,
                options.timing,
                options.name,
                std::move(credentials.tls),
                options.state_dir,
                {}},
        lookups(context, metrics) {}

  metrics::Registry metrics;
  std::unique_ptr<metrics::Endpoint> metrics_endpoint;
  std::unique_ptr<member::Authority> authority;
  rpc::Authenticator authenticator;
  cluster::ConfigView view;
  cluster::Events events;
  cluster::ServerTable servers;
  pool::WorkerPool workers;
  cluster::Controller controller;
  StreamSeats streams;
  RouterContext context;
  Lookups lookups;
  std::unique_ptr<Front> front;
};

namespace {

// Where every service of the router is plugged in.
std::vector<std::shared_ptr<grpc::Service>> make_services(RouterContext& context,
                                                          Lookups& lookups) {
  std::vector<std::shared_ptr<grpc::Service>> services = lookups.services();
  services.push_back(make_cluster_service(context));
  services.push_back(make_ticket_service(context));
  services.push_back(make_space_service(context));
  services.push_back(make_worker_service(context));
  services.push_back(make_admin_service(context));
  return services;
}

}  // namespace

Result<std::unique_ptr<Router>> Router::open(const RouterOptions& options) {
  TARN_ASSIGN_OR_RETURN(Credentials credentials, read_credentials(options));
  TARN_RETURN_IF_ERROR(auth::make_secret_folder(options.state_dir));
  TARN_ASSIGN_OR_RETURN(auto authority,
                        member::open_authority({options.authority, options.cluster, options.name}));
  auto parts = std::make_unique<Parts>(options, std::move(credentials), std::move(authority));
  if (!options.metrics_listen.empty()) {
    TARN_ASSIGN_OR_RETURN(parts->metrics_endpoint,
                          metrics::Endpoint::open(options.metrics_listen, parts->metrics));
  }
  TARN_ASSIGN_OR_RETURN(parts->front, Front::open(options.listen, parts->context.tls,
                                                  make_services(parts->context, parts->lookups)));
  parts->controller.start();
  log::info("router {} of cluster {} on port {}, config in {}", options.name, options.cluster,
            parts->front->port(), parts->authority->describe());
  return std::unique_ptr<Router>(new Router(std::move(parts)));
}

Router::Router(std::unique_ptr<Parts> parts) : x_parts(std::move(parts)) {}

Router::~Router() {
  close();
}

uint16_t Router::port() const {
  return x_parts->front->port();
}

uint16_t Router::metrics_port() const {
  return x_parts->metrics_endpoint ? x_parts->metrics_endpoint->port() : uint16_t{0};
}

void Router::close() {
  x_parts->front->close();
  x_parts->controller.close();
}

}  // namespace tarn::router
