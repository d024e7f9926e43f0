#include "common/rpc/credentials.h"

#include <arpa/inet.h>

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/client_interceptor.h>

#include <vector>

#include "common/base/check.h"

namespace tarn::rpc {
namespace {

constexpr int64_t kTokenSkewMs = 30'000;
constexpr std::string_view kBearer = "Bearer ";

// Adds "authorization: Bearer TOKEN" to every call over TLS.
class BearerPlugin : public grpc::MetadataCredentialsPlugin {
 public:
  explicit BearerPlugin(std::string token) : x_value(std::string(kBearer) + token) {}

  grpc::Status GetMetadata(grpc::string_ref, grpc::string_ref, const grpc::AuthContext&,
                           std::multimap<grpc::string, grpc::string>* metadata) override {
    metadata->emplace("authorization", x_value);
    return grpc::Status::OK;
  }
  bool IsBlocking() const override { return false; }

 private:
  std::string x_value;
};

// The same over plain loopback, where gRPC takes no call credentials.
class BearerInterceptor : public grpc::experimental::Interceptor {
 public:
  explicit BearerInterceptor(const std::string& value) : x_value(value) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    using Point = grpc::experimental::InterceptionHookPoints;
    if (methods->QueryInterceptionHookPoint(Point::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->emplace("authorization", x_value);
    }
    methods->Proceed();
  }

 private:
  const std::string& x_value;
};

class BearerInterceptorFactory : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit BearerInterceptorFactory(const std::string& token)
      : x_value(std::string(kBearer) + token) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return std::make_unique<BearerInterceptor>(x_value).release();  // gRPC owns it
  }

 private:
  std::string x_value;
};

std::shared_ptr<grpc::Channel> plain_channel(const std::string& endpoint, const std::string& token,
                                             const grpc::ChannelArguments& arguments) {
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (!token.empty()) interceptors.push_back(std::make_unique<BearerInterceptorFactory>(token));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      endpoint, grpc::InsecureChannelCredentials(), arguments, std::move(interceptors));
}

std::string host_of(const std::string& endpoint) {
  if (endpoint.starts_with('[')) return endpoint.substr(1, endpoint.find(']') - 1);
  return endpoint.substr(0, endpoint.rfind(':'));
}

// A name that only begins like an address ("127.example.com") is somewhere else.
bool is_loopback_v4(const std::string& host) {
  in_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 &&
         ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

std::string first_property(const grpc::AuthContext& context, const char* name) {
  const auto values = context.FindPropertyValues(name);
  return values.empty() ? std::string() : std::string(values[0].data(), values[0].size());
}

// The tarn:// URIs among the names of the peer's certificate; none when it showed none.
std::vector<std::string> peer_uris(const grpc::AuthContext& context) {
  std::vector<std::string> uris;
  for (const auto& value : context.FindPropertyValues("peer_uri")) {
    std::string uri(value.data(), value.size());
    if (uri.starts_with("tarn://")) uris.push_back(std::move(uri));
  }
  return uris;
}

// As auth::identity_from_certificate, of which gRPC gives us only the names.
Result<auth::Identity> identity_of(const std::vector<std::string>& uris) {
  TARN_CHECK(!uris.empty());
  if (uris.size() > 1) return unauthenticated("the peer's certificate names two identities");
  auto identity = auth::identity_from_uri(uris[0]);
  if (identity) return identity;
  return unauthenticated("the peer's certificate: " + identity.error().message());
}

grpc::ChannelArguments channel_arguments(int message_bytes_max) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(message_bytes_max);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  // Despite its name also the time that one attempt to connect is given.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Without it two clients of one process would share a connection, and so its flow control and its
  // fate.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

std::shared_ptr<grpc::ChannelCredentials> tls_channel_credentials(const TlsMaterial& material) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = material.ca_pem;
  options.pem_cert_chain = material.certificate_pem;
  options.pem_private_key = material.key_pem;
  auto credentials = grpc::SslCredentials(options);
  if (material.token.empty()) return credentials;
  auto plugin = std::make_unique<BearerPlugin>(material.token);
  return grpc::CompositeChannelCredentials(credentials,
                                           grpc::MetadataCredentialsFromPlugin(std::move(plugin)));
}

}  // namespace

bool is_loopback(const std::string& endpoint) {
  const std::string host = host_of(endpoint);
  return host == "localhost" || host == "::1" || is_loopback_v4(host);
}

Result<std::shared_ptr<grpc::ServerCredentials>> server_credentials(const TlsMaterial& material) {
  if (material.insecure_loopback) return grpc::InsecureServerCredentials();
  if (material.ca_pem.empty() || material.certificate_pem.empty() || material.key_pem.empty()) {
    return invalid_argument(
        "a gRPC server needs ca.pem, its certificate and its key: run `tarn certs`");
  }
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = material.ca_pem;
  options.pem_key_cert_pairs.push_back({material.key_pem, material.certificate_pem});
  return grpc::SslServerCredentials(options);
}

Result<std::shared_ptr<grpc::Channel>> open_channel(const std::string& endpoint, auth::Role role,
                                                    const TlsMaterial& material,
                                                    int message_bytes_max) {
  grpc::ChannelArguments arguments = channel_arguments(message_bytes_max);
  if (material.insecure_loopback) {
    if (!is_loopback(endpoint)) {
      return invalid_argument("insecure_loopback: " + endpoint + " is not a loopback address");
    }
    return plain_channel(endpoint, material.token, arguments);
  }
  if (material.ca_pem.empty()) return invalid_argument("no ca.pem: name a credentials folder");
  arguments.SetSslTargetNameOverride(std::string(auth::role_name(role)) + ".tarn");
  return grpc::CreateCustomChannel(endpoint, tls_channel_credentials(material), arguments);
}

Authenticator::Authenticator(std::shared_ptr<const auth::TokenVerifier> verifier,
                             const Clock& clock, bool insecure_loopback)
    : x_verifier(std::move(verifier)), x_clock(clock), x_insecure_loopback(insecure_loopback) {}

Result<auth::Identity> Authenticator::caller(const grpc::ServerContextBase& context) const {
  const auto peer = context.auth_context();
  if (peer) {
    const std::vector<std::string> uris = peer_uris(*peer);
    if (!uris.empty()) return identity_of(uris);
  }
  const bool encrypted = peer && first_property(*peer, "transport_security_type") == "ssl";
  if (!encrypted && !x_insecure_loopback) {
    return unauthenticated("the connection is not encrypted: use TLS");
  }
  const auto header = context.client_metadata().find("authorization");
  if (header == context.client_metadata().end() || !x_verifier) {
    return unauthenticated("show a client certificate or a token (authorization: Bearer ...)");
  }
  const std::string_view text(header->second.data(), header->second.size());
  if (!text.starts_with(kBearer)) return unauthenticated("authorization: expected 'Bearer TOKEN'");
  return x_verifier->verify(text.substr(kBearer.size()), x_clock.unix_ms(), kTokenSkewMs);
}

void set_timeout(grpc::ClientContext& context, Millis timeout) {
  context.set_deadline(std::chrono::system_clock::now() + timeout);
}

}  // namespace tarn::rpc
