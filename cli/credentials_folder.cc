#include "cli/credentials_folder.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <system_error>
#include <vector>

#include "common/auth/secret_file.h"
#include "common/base/check.h"

namespace tarn::cli {
namespace {

constexpr size_t kFilesMax = 10'000;

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// Empty when there is no such file; what may not be read is an error.
Result<std::string> read_if_there(const std::string& path, auth::Privacy privacy) {
  auto text = auth::read_secret_file(path, privacy);
  if (!text && text.error().code() == Code::not_found) return std::string();
  return text;
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

Status read_endpoint(const std::string& folder, Proof& into) {
  TARN_ASSIGN_OR_RETURN(const std::string endpoint,
                        read_if_there(folder + "/endpoint", auth::Privacy::anyone));
  into.endpoint = first_line(endpoint);
  return Status::ok();
}

// The first admin-NAME.pem in order of name; empty when there is none.
std::string admin_stem(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> names;
  std::filesystem::directory_iterator files(folder, error);
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    const std::string name = files->path().filename().string();
    if (!name.starts_with("admin-") || !name.ends_with(".pem")) continue;
    names.push_back(name.substr(0, name.size() - 4));
    if (names.size() == kFilesMax) break;
  }
  std::sort(names.begin(), names.end());
  return names.empty() ? std::string() : folder + "/" + names.front();
}

Result<bool> read_pair(const std::string& stem, Proof& into) {
  TARN_ASSIGN_OR_RETURN(into.certificate_pem, read_if_there(stem + ".pem", auth::Privacy::anyone));
  TARN_ASSIGN_OR_RETURN(into.key_pem, read_if_there(stem + ".key", auth::Privacy::owner));
  const bool is_whole = !into.certificate_pem.empty() && !into.key_pem.empty();
  if (!is_whole) into.certificate_pem.clear();
  into.source = stem + ".pem";
  return is_whole;
}

// The CA stands beside whatever it has signed.
Status read_admin(const std::string& folder, Proof& into) {
  for (const std::string& place : {folder, folder + "/secrets"}) {
    const std::string stem = admin_stem(place);
    if (stem.empty()) continue;
    TARN_ASSIGN_OR_RETURN(into.is_admin, read_pair(stem, into));
    if (!into.is_admin) continue;
    TARN_ASSIGN_OR_RETURN(into.ca_pem,
                          auth::read_secret_file(place + "/ca.pem", auth::Privacy::anyone));
    return Status::ok();
  }
  return Status::ok();
}

Status read_client(const std::string& folder, Proof& into) {
  TARN_ASSIGN_OR_RETURN(into.ca_pem, read_if_there(folder + "/ca.pem", auth::Privacy::anyone));
  TARN_ASSIGN_OR_RETURN(const bool has_pair, read_pair(folder + "/client", into));
  if (!has_pair) {
    TARN_ASSIGN_OR_RETURN(const std::string token,
                          read_if_there(folder + "/token", auth::Privacy::owner));
    into.token = first_line(token);
    into.source = folder + "/token";
  }
  if (into.ca_pem.empty()) {
    return not_found("there is no ca.pem in " + folder +
                     ": name the folder of a client or the secrets folder with --credentials, or "
                     "start `tarn dev`");
  }
  if (!has_pair && into.token.empty()) {
    return not_found(folder + " has no certificate of an admin, no client.pem and no token");
  }
  return Status::ok();
}

}  // namespace

Result<std::string> default_folder() {
  const std::string home = environment("HOME");
  if (home.empty()) return invalid_argument("HOME is not set: name the folder yourself");
  return home + "/.tarn/dev";
}

Status write_credentials_folder(const std::string& folder, const FolderParts& parts) {
  TARN_CHECK(!parts.ca_pem.empty());
  TARN_RETURN_IF_ERROR(auth::make_secret_folder(folder));
  TARN_RETURN_IF_ERROR(auth::write_secret_file(folder, "ca.pem", parts.ca_pem));
  if (!parts.token.empty()) {
    TARN_RETURN_IF_ERROR(auth::write_secret_file(folder, "token", parts.token + "\n"));
  }
  if (parts.endpoint.empty()) return Status::ok();
  return auth::write_secret_file(folder, "endpoint", parts.endpoint + "\n");
}

Result<Proof> read_proof(const std::string& folder) {
  Proof proof;
  TARN_RETURN_IF_ERROR(read_endpoint(folder, proof));
  TARN_RETURN_IF_ERROR(read_admin(folder, proof));
  if (!proof.is_admin) TARN_RETURN_IF_ERROR(read_client(folder, proof));
  TARN_CHECK(!proof.ca_pem.empty());
  return proof;
}

Result<Proof> read_client_proof(const std::string& folder) {
  Proof proof;
  TARN_RETURN_IF_ERROR(read_endpoint(folder, proof));
  TARN_RETURN_IF_ERROR(read_client(folder, proof));
  return proof;
}

Result<std::string> find_folder(std::string_view named) {
  if (!named.empty()) return std::string(named);
  if (std::string said = environment("TARN_CREDENTIALS"); !said.empty()) return said;
  return default_folder();
}

Result<std::string> find_endpoint(std::string_view named, const Proof& proof) {
  if (!named.empty()) return std::string(named);
  if (std::string said = environment("TARN_ENDPOINT"); !said.empty()) return said;
  if (!proof.endpoint.empty()) return proof.endpoint;
  return invalid_argument(
      "no router is named: give --endpoint HOST:PORT, set TARN_ENDPOINT, or use a credentials "
      "folder with a file `endpoint`");
}

}  // namespace tarn::cli
