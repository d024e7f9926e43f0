#include <algorithm>
#include <filesystem>
#include <optional>
#include <ostream>
#include <system_error>

#include <arpa/inet.h>

#include "cli/command.h"
#include "cli/credentials_folder.h"
#include "cli/text.h"
#include "common/auth/secrets_dir.h"
#include "common/base/clock.h"

namespace tarn::cli {
namespace {

constexpr int64_t kTokenDaysMax = 365;
constexpr size_t kIdentitiesMax = 10'000;

struct CertsOptions {
  std::string secrets_dir;
  std::vector<std::string> hosts;
  std::vector<std::string> servers;
  std::vector<std::string> routers;
  int days = 365;
};

struct TokenOptions {
  std::string tenant;
  std::string worker;
  std::string ttl = "24h";
  std::string secrets_dir;
  std::string out;
  std::string endpoint;
};

bool is_ip_address(const std::string& host) {
  in6_addr into{};
  return ::inet_pton(AF_INET, host.c_str(), &into) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &into) == 1;
}

// ROLE-NAME.pem, as SecretsDir names what it has issued.
std::optional<auth::Identity> identity_of_file(std::string name) {
  if (!name.ends_with(".pem")) return std::nullopt;
  name.resize(name.size() - 4);
  const size_t dash = name.find('-');
  if (dash == std::string::npos) return std::nullopt;
  const auto role = auth::role_from_name(name.substr(0, dash));
  if (!role) return std::nullopt;
  std::string who = name.substr(dash + 1);
  std::replace(who.begin(), who.end(), '@', '/');
  auto identity = auth::make_identity(*role, who);
  if (!identity) return std::nullopt;
  return std::move(identity).value();
}

// Whoever has a certificate already: it is renewed when its end is near.
std::vector<auth::Identity> issued(const std::string& folder) {
  std::vector<auth::Identity> found;
  std::error_code error;
  std::filesystem::directory_iterator files(folder, error);
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    auto identity = identity_of_file(files->path().filename().string());
    if (identity && found.size() < kIdentitiesMax) found.push_back(std::move(*identity));
  }
  return found;
}

Status add_identities(auth::Role role, const std::vector<std::string>& names,
                      std::vector<auth::Identity>& into) {
  for (const std::string& name : names) {
    TARN_ASSIGN_OR_RETURN(auth::Identity identity, auth::make_identity(role, name));
    if (std::find(into.begin(), into.end(), identity) == into.end()) {
      into.push_back(std::move(identity));
    }
  }
  return Status::ok();
}

// A folder that is new and was told no names serves a small cluster: one router, three servers.
Result<std::vector<auth::Identity>> wanted_identities(const CertsOptions& options) {
  std::vector<auth::Identity> all = issued(options.secrets_dir);
  CertsOptions names = options;
  if (all.empty() && names.servers.empty() && names.routers.empty()) {
    names.servers = {"server-1", "server-2", "server-3"};
    names.routers = {"router-1"};
  }
  TARN_RETURN_IF_ERROR(add_identities(auth::Role::admin, {"admin"}, all));
  TARN_RETURN_IF_ERROR(add_identities(auth::Role::router, names.routers, all));
  TARN_RETURN_IF_ERROR(add_identities(auth::Role::server, names.servers, all));
  std::sort(all.begin(), all.end(), [](const auth::Identity& a, const auth::Identity& b) {
    return std::pair(a.role, a.name) < std::pair(b.role, b.name);
  });
  return all;
}

Status run_certs(const CertsOptions& options, Terminal& terminal) {
  auth::SecretsOptions wanted;
  TARN_ASSIGN_OR_RETURN(wanted.identities, wanted_identities(options));
  wanted.days = options.days;
  wanted.renew_before_days = std::min(wanted.renew_before_days, options.days - 1);
  for (const std::string& host : options.hosts)
    (is_ip_address(host) ? wanted.ip_addresses : wanted.dns_names).push_back(host);
  TARN_ASSIGN_OR_RETURN(const auth::SecretsDir dir,
                        auth::SecretsDir::create_all(options.secrets_dir, wanted));
  TARN_ASSIGN_OR_RETURN(const auth::Expiry expiry, dir.soonest_expiry(system_clock().unix_ms()));
  std::vector<std::string> names;
  std::string text = options.secrets_dir + ": CA, token keys and certificates for\n";
  for (const auth::Identity& identity : wanted.identities) {
    names.push_back(auth::identity_uri(identity));
    text += "  " + names.back() + "\n";
  }
  text += "Soonest to end: " + expiry.file + ", in " + std::to_string(expiry.days) +
          " days; run this again to renew.\n"
          "Give each machine only what it needs: ca.key and token.key stay here.\n";
  terminal.answer(Json::object()
                      .set("secrets_dir", options.secrets_dir)
                      .set("certificates", Json::array_of(names))
                      .set("soonest_expiry_file", expiry.file)
                      .set("soonest_expiry_days", expiry.days),
                  text);
  return Status::ok();
}

Result<auth::Identity> holder_of(const TokenOptions& options) {
  if (options.worker.empty()) return auth::make_identity(auth::Role::tenant, options.tenant);
  return auth::make_identity(auth::Role::worker, options.tenant + "/" + options.worker);
}

Status run_token_create(const TokenOptions& options, Terminal& terminal) {
  TARN_ASSIGN_OR_RETURN(const int64_t ttl_ms, parse_ttl("--ttl", options.ttl, kTokenDaysMax));
  TARN_ASSIGN_OR_RETURN(const auth::Identity holder, holder_of(options));
  TARN_ASSIGN_OR_RETURN(const auth::SecretsDir dir, auth::SecretsDir::open(options.secrets_dir));
  TARN_ASSIGN_OR_RETURN(const auth::TokenSigner signer, dir.token_signer());
  const int64_t expires_ms = system_clock().unix_ms() + ttl_ms;
  TARN_ASSIGN_OR_RETURN(const std::string token, signer.sign(holder, expires_ms));
  Json json =
      Json::object().set("holder", auth::identity_uri(holder)).set("expires_unix_ms", expires_ms);
  if (options.out.empty()) {
    terminal.answer(json.set("token", token), token + "\n");
    return Status::ok();
  }
  TARN_ASSIGN_OR_RETURN(const std::string ca_pem, dir.ca_pem());
  TARN_RETURN_IF_ERROR(write_credentials_folder(options.out, {ca_pem, token, options.endpoint}));
  terminal.answer(json.set("folder", options.out), options.out + ": credentials of " +
                                                       auth::identity_uri(holder) + " for " +
                                                       format_duration(ttl_ms) + "\n");
  return Status::ok();
}

void add_certs(CLI::App& app, Invocation& chosen) {
  CLI::App& command = add_command(
      app, chosen, "certs", "Make or renew the CA, the certificates and the keys of a cluster");
  const auto options = std::make_shared<CertsOptions>();
  command.add_option("--secrets-dir", options->secrets_dir, "Folder of the secrets")->required();
  command.add_option("--host", options->hosts,
                     "DNS name or address of a router or server; may be repeated");
  command.add_option("--server", options->servers,
                     "Name of a storage server; may be repeated (new folders: server-1 to 3)");
  command.add_option("--router", options->routers,
                     "Name of a router; may be repeated (new folders: router-1)");
  command.add_option("--days", options->days, "How long certificates are good")
      ->check(CLI::Range(1, auth::kCertificateDaysMax))
      ->capture_default_str();
  on_run(command, chosen, options, run_certs);
}

void add_token(CLI::App& app, Invocation& chosen) {
  CLI::App& token = *app.add_subcommand("token", "Make tokens for tenants and workers");
  token.require_subcommand(1);
  CLI::App& command = add_command(token, chosen, "create", "Make a token for a tenant or a worker");
  const auto options = std::make_shared<TokenOptions>();
  command.add_option("--tenant", options->tenant, "Name of the tenant")->required();
  command.add_option("--worker", options->worker, "Name of a worker of the tenant");
  command.add_option("--ttl", options->ttl, "How long it is good, such as 12h or 30d")
      ->capture_default_str();
  command.add_option("--secrets-dir", options->secrets_dir, "Folder of the secrets")->required();
  command.add_option("--out", options->out,
                     "Write a credentials folder for the SDK instead of printing the token");
  command.add_option("--endpoint", options->endpoint, "HOST:PORT of the routers, for the folder");
  on_run(command, chosen, options, run_token_create);
}

}  // namespace

void add_credentials_commands(CLI::App& app, Invocation& chosen) {
  add_certs(app, chosen);
  add_token(app, chosen);
}

}  // namespace tarn::cli
