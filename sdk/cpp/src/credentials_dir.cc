#include "sdk/cpp/src/credentials_dir.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "common/auth/certificates.h"
#include "common/auth/secret_file.h"
#include "common/auth/token.h"
#include "common/base/log.h"
#include "common/block/key.h"

namespace tarn::sdk {
namespace {

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::string folder_of(const ClientOptions& options) {
  if (!options.credentials.empty()) return options.credentials;
  if (std::string named = environment(kCredentialsVariable); !named.empty()) return named;
  const std::string home = environment("HOME");
  return home.empty() ? std::string() : home + "/" + kDefaultFolder;
}

// Empty when there is no such file.
Result<std::string> read_file(const std::string& folder, const char* name) {
  if (folder.empty()) return std::string();
  auto text = auth::read_secret_file(folder + "/" + name, auth::Privacy::anyone);
  if (!text && text.error().code() == Code::not_found) return std::string();
  return text;
}

// Mounted secrets are often readable by a group; by everyone is a mistake, and no reason to stop.
Result<std::string> read_private(const std::string& folder, const char* name) {
  const std::string path = folder + "/" + name;
  struct stat found {};
  if (!folder.empty() && ::stat(path.c_str(), &found) == 0 && (found.st_mode & S_IROTH) != 0) {
    log::warn("{0} may be read by everyone; run: chmod 600 {0}", path);
  }
  return read_file(folder, name);
}

std::string without_spaces(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ',');
  std::erase_if(text, [](char c) { return c == ' ' || c == '\t' || c == '\r'; });
  return text;
}

std::string first_line(std::string text) {
  text = without_spaces(std::move(text));
  return text.substr(0, text.find(','));
}

// "a:1,b:2" as a list; an entry may carry the prefix of plain connections.
Status parse_endpoints(std::string_view text, Credentials& into) {
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    std::string_view one = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (one.empty()) continue;
    if (one.starts_with(kPlainPrefix)) {
      into.is_plain = true;
      one.remove_prefix(kPlainPrefix.size());
    }
    if (one.find(':') == std::string_view::npos) {
      return invalid_argument("endpoint: " + std::string(one) + " is not HOST:PORT");
    }
    into.endpoints.emplace_back(one);
  }
  if (into.endpoints.size() > kEndpointsMax) return invalid_argument("endpoint: too many routers");
  return Status::ok();
}

Result<auth::Identity> identity_of(const Credentials& credentials) {
  if (!credentials.certificate_pem.empty()) {
    const auto end_ms = auth::certificate_end_ms(credentials.certificate_pem);
    if (end_ms && *end_ms <= system_clock().unix_ms()) {
      return unauthenticated(std::string("credentials: ") + kCertificateFile +
                             " has expired: make another with `tarn certs`");
    }
    return auth::identity_from_certificate(credentials.certificate_pem);
  }
  return auth::identity_of_own_token(credentials.token);
}

Status find_endpoints(const ClientOptions& options, const std::string& folder, Credentials& into) {
  std::string text = options.endpoint;
  if (text.empty()) text = environment(kEndpointVariable);
  if (text.empty()) {
    TARN_ASSIGN_OR_RETURN(text, read_file(folder, kEndpointFile));
  }
  TARN_RETURN_IF_ERROR(parse_endpoints(without_spaces(std::move(text)), into));
  if (!into.endpoints.empty()) return Status::ok();
  return invalid_argument("endpoint: none is given, TARN_ENDPOINT is not set, and there is no " +
                          folder + "/" + kEndpointFile);
}

Status find_proof(const ClientOptions& options, const std::string& folder, Credentials& into) {
  TARN_ASSIGN_OR_RETURN(into.ca_pem, read_file(folder, kCaFile));
  into.token = options.token;
  if (options.token.empty()) {
    TARN_ASSIGN_OR_RETURN(std::string token, read_private(folder, kTokenFile));
    into.token = first_line(std::move(token));
    TARN_ASSIGN_OR_RETURN(into.certificate_pem, read_file(folder, kCertificateFile));
    TARN_ASSIGN_OR_RETURN(into.key_pem, read_private(folder, kKeyFile));
    if (into.key_pem.empty()) into.certificate_pem.clear();
  }
  if (into.ca_pem.empty() && !into.is_plain) {
    return invalid_argument("credentials: there is no " + folder + "/" + kCaFile);
  }
  if (into.token.empty() && into.certificate_pem.empty()) {
    return invalid_argument("credentials: " + folder + " has neither a token nor " +
                            kCertificateFile + " and " + kKeyFile);
  }
  return Status::ok();
}

}  // namespace

Result<Credentials> find_credentials(const ClientOptions& options) {
  const std::string folder = folder_of(options);
  Credentials found;
  TARN_RETURN_IF_ERROR(find_endpoints(options, folder, found));
  TARN_RETURN_IF_ERROR(find_proof(options, folder, found));
  TARN_ASSIGN_OR_RETURN(found.identity, identity_of(found));
  if (found.identity.tenant.empty()) {
    return unauthenticated("credentials: a " + std::string(role_name(found.identity.role)) +
                           " has no data; name those of a tenant or a worker");
  }
  found.tenant = block::tenant_id(found.identity.tenant);
  return found;
}

CredentialSource::CredentialSource(ClientOptions options, Credentials found)
    : x_options(std::move(options)),
      x_current(std::make_shared<const Credentials>(std::move(found))) {}

Result<std::shared_ptr<CredentialSource>> CredentialSource::open(const ClientOptions& options) {
  TARN_ASSIGN_OR_RETURN(Credentials found, find_credentials(options));
  return std::shared_ptr<CredentialSource>(new CredentialSource(options, std::move(found)));
}

std::shared_ptr<const Credentials> CredentialSource::current() const {
  const MutexLock lock(x_mutex);
  return x_current;
}

bool CredentialSource::refresh() {
  const MutexLock lock(x_mutex);
  const Instant now = system_clock().now();
  if (now < x_next_look) return false;
  x_next_look = now + kCredentialsPause;
  auto found = find_credentials(x_options);
  if (!found || found->tenant != x_current->tenant) return false;
  found->endpoints = x_current->endpoints;
  if (*found == *x_current) return false;
  log::info("the credentials were replaced: going on with the new ones");
  x_current = std::make_shared<const Credentials>(*std::move(found));
  return true;
}

}  // namespace tarn::sdk
