#include "common/auth/secrets_dir.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "common/auth/secret_file.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"

namespace tarn::auth {
namespace {

constexpr int64_t kDayMs = 86'400'000;
constexpr size_t kFilesMax = 10'000;

std::string stem_of(const Identity& identity) {
  std::string stem = std::string(role_name(identity.role)) + "-" + identity.name;
  std::replace(stem.begin(), stem.end(), '/', '@');
  return stem;
}

// The names of the folder's files that end so, in order.
Result<std::vector<std::string>> list_files(const std::string& folder, std::string_view ending) {
  std::error_code error;
  std::vector<std::string> names;
  std::filesystem::directory_iterator files(folder, error);
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    std::string name = files->path().filename().string();
    if (name.starts_with('.') || !name.ends_with(ending)) continue;
    if (names.size() == kFilesMax) return invalid_argument(folder + " holds too many files");
    names.push_back(std::move(name));
  }
  if (error) return unavailable("cannot list " + folder + ": " + error.message());
  std::sort(names.begin(), names.end());
  return names;
}

bool is_reached_by_name(Role role) {
  return role == Role::server || role == Role::router;
}

CertificateRequest request_for(const Identity& identity, const SecretsOptions& options) {
  CertificateRequest request{identity, {}, {}, options.days};
  if (is_reached_by_name(identity.role)) {
    request.dns_names = options.dns_names;
    request.ip_addresses = options.ip_addresses;
  }
  return request;
}

}  // namespace

Result<SecretsDir> SecretsDir::open(const std::string& path) {
  TARN_RETURN_IF_ERROR(check_secret_folder(path));
  SecretsDir dir(path);
  if (!dir.has("ca.pem")) {
    return not_found("no ca.pem in " + path + "; make the secrets with: tarn certs");
  }
  TARN_ASSIGN_OR_RETURN(const auto keys, list_files(path, ".key"));
  for (const std::string& key : keys)
    TARN_RETURN_IF_ERROR(dir.read(key).status());
  return dir;
}

Result<SecretsDir> SecretsDir::create_all(const std::string& path, const SecretsOptions& options) {
  if (options.renew_before_days < 0 || options.renew_before_days >= options.days) {
    return invalid_argument("renew_before_days: 0 or more, and less than days");
  }
  TARN_RETURN_IF_ERROR(make_secret_folder(path));
  TARN_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::open(path));
  const SecretsDir dir(path);
  TARN_RETURN_IF_ERROR(dir.create_ca(options.ca_days));
  TARN_RETURN_IF_ERROR(dir.create_token_keys());
  for (const Identity& identity : options.identities) {
    TARN_RETURN_IF_ERROR(
        dir.create_certificate(request_for(identity, options), options.renew_before_days));
  }
  return open(path);
}

Result<std::string> SecretsDir::ca_pem() const {
  return read("ca.pem");
}

Result<CertifiedKey> SecretsDir::certificate(const Identity& identity) const {
  TARN_ASSIGN_OR_RETURN(const Identity checked, make_identity(identity.role, identity.name));
  const std::string stem = stem_of(checked);
  CertifiedKey pair;
  TARN_ASSIGN_OR_RETURN(pair.certificate_pem, read(stem + ".pem"));
  TARN_ASSIGN_OR_RETURN(pair.key_pem, read(stem + ".key"));
  TARN_ASSIGN_OR_RETURN(const std::string ca, ca_pem());
  const Status fits = check_certificate(pair, {checked, {}, {}}, {ca, INT64_MIN});
  if (!fits.is_ok()) {
    return corrupt(x_path + "/" + stem + ".pem: " + fits.message() + "; issue it anew");
  }
  return pair;
}

Result<TokenSigner> SecretsDir::token_signer() const {
  TARN_ASSIGN_OR_RETURN(const std::string pem, read("token.key"));
  return TokenSigner::open(pem);
}

Result<TokenVerifier> SecretsDir::token_verifier() const {
  TARN_ASSIGN_OR_RETURN(const std::string pem, read("token.pub"));
  return TokenVerifier::open(std::span(&pem, 1));
}

Result<CertifiedKey> SecretsDir::issue(const CertificateRequest& request) const {
  TARN_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::open(x_path));
  return issue_locked(request);
}

Result<Expiry> SecretsDir::soonest_expiry(int64_t now_unix_ms) const {
  TARN_ASSIGN_OR_RETURN(const auto names, list_files(x_path, ".pem"));
  std::optional<Expiry> soonest;
  for (const std::string& name : names) {
    TARN_ASSIGN_OR_RETURN(const std::string pem, read(name));
    const auto end_ms = certificate_end_ms(pem);
    if (!end_ms) return corrupt(x_path + "/" + name + ": " + end_ms.error().message());
    const int64_t left_ms = *end_ms - now_unix_ms;
    const int64_t days = left_ms >= 0 ? left_ms / kDayMs : -1 - (-left_ms) / kDayMs;
    if (!soonest || days < soonest->days) soonest = Expiry{name, days};
  }
  if (!soonest) return not_found("no certificate in " + x_path);
  return *soonest;
}

Result<std::string> SecretsDir::read(const std::string& name) const {
  return read_secret_file(x_path + "/" + name,
                          name.ends_with(".key") ? Privacy::owner : Privacy::anyone);
}

Status SecretsDir::write(const std::string& name, const std::string& contents) const {
  TARN_CHECK(!contents.empty());
  return write_secret_file(x_path, name, contents);
}

bool SecretsDir::has(const std::string& name) const {
  std::error_code error;
  return std::filesystem::exists(x_path + "/" + name, error);
}

// The key goes first wherever there are two files, so that the second says that both are there.

Result<CertifiedKey> SecretsDir::issue_locked(const CertificateRequest& request) const {
  CertifiedKey ca;
  TARN_ASSIGN_OR_RETURN(ca.certificate_pem, read("ca.pem"));
  TARN_ASSIGN_OR_RETURN(ca.key_pem, read("ca.key"));
  TARN_ASSIGN_OR_RETURN(CertifiedKey pair, issue_certificate(ca, request));
  const std::string stem = stem_of(request.identity);
  TARN_RETURN_IF_ERROR(write(stem + ".key", pair.key_pem));
  TARN_RETURN_IF_ERROR(write(stem + ".pem", pair.certificate_pem));
  return pair;
}

Status SecretsDir::create_ca(int days) const {
  if (has("ca.pem")) return Status::ok();
  TARN_ASSIGN_OR_RETURN(const CertifiedKey ca, make_ca(days));
  TARN_RETURN_IF_ERROR(write("ca.key", ca.key_pem));
  return write("ca.pem", ca.certificate_pem);
}

Status SecretsDir::create_token_keys() const {
  if (has("token.pub")) return Status::ok();
  TARN_ASSIGN_OR_RETURN(const TokenKeys keys, make_token_keys());
  TARN_RETURN_IF_ERROR(write("token.key", keys.private_pem));
  return write("token.pub", keys.public_pem);
}

Status SecretsDir::create_certificate(const CertificateRequest& request,
                                      int renew_before_days) const {
  TARN_RETURN_IF_ERROR(make_identity(request.identity.role, request.identity.name).status());
  TARN_ASSIGN_OR_RETURN(const std::string ca, ca_pem());
  const std::string stem = stem_of(request.identity);
  const auto certificate = read(stem + ".pem");
  const auto key = read(stem + ".key");
  // An open key may have been copied: the person who opened it must know.
  if (!key && key.error().code() == Code::permission_denied) return key.error();
  if (certificate && key) {
    const int64_t now_ms = system_clock().unix_ms();
    const CertificateCheck life{ca, now_ms + renew_before_days * kDayMs, now_ms};
    const Status fits = check_certificate({*certificate, *key}, request, life);
    if (fits.is_ok()) return fits;
    log::info("secrets: {}.pem is issued anew: {}", stem, fits.message());
  }
  return issue_locked(request).status();
}

}  // namespace tarn::auth
