#include "server/object/s3/credential_source.h"

#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <string_view>

namespace tarn::object {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// The entries of one section of an INI file.
std::map<std::string, std::string> read_section(const std::string& path, std::string_view section) {
  std::map<std::string, std::string> entries;
  std::ifstream file(path);
  std::string line;
  bool is_inside = false;
  while (std::getline(file, line)) {
    const std::string_view text = trimmed(line);
    if (text.starts_with('[') && text.ends_with(']')) {
      is_inside = trimmed(text.substr(1, text.size() - 2)) == section;
      continue;
    }
    const size_t equals = text.find('=');
    if (!is_inside || text.starts_with('#') || equals == std::string_view::npos) continue;
    entries.emplace(trimmed(text.substr(0, equals)), trimmed(text.substr(equals + 1)));
  }
  return entries;
}

std::string found_or_empty(const std::map<std::string, std::string>& entries,
                           const std::string& name) {
  const auto found = entries.find(name);
  return found == entries.end() ? std::string() : found->second;
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) {
    const char* const value = std::getenv(name.c_str());
    return std::string(value == nullptr ? "" : value);
  };
}

CredentialSource::CredentialSource(Environment environment)
    : x_environment(std::move(environment)) {}

std::string CredentialSource::profile() const {
  const std::string named = x_environment("AWS_PROFILE");
  return named.empty() ? "default" : named;
}

std::string CredentialSource::path_of(const std::string& variable, const std::string& usual) const {
  const std::string named = x_environment(variable);
  return named.empty() ? x_environment("HOME") + "/.aws/" + usual : named;
}

std::optional<CredentialSource::Stamp> CredentialSource::stamp_of(const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) return std::nullopt;
  return Stamp{found.st_mtim.tv_sec * kNanosPerSecond + found.st_mtim.tv_nsec, found.st_size,
               found.st_ino};
}

Result<Credentials> CredentialSource::get() {
  Credentials own;
  own.access_key_id = x_environment("AWS_ACCESS_KEY_ID");
  own.secret_access_key = x_environment("AWS_SECRET_ACCESS_KEY");
  own.session_token = x_environment("AWS_SESSION_TOKEN");
  if (!own.access_key_id.empty() && !own.secret_access_key.empty()) return own;
  const std::string path = path_of("AWS_SHARED_CREDENTIALS_FILE", "credentials");
  const auto stamp = stamp_of(path);
  const MutexLock lock(x_mutex);
  if (stamp && x_stamp == stamp) return x_kept;
  x_stamp.reset();
  TARN_ASSIGN_OR_RETURN(x_kept, read(path));
  x_stamp = stamp;
  return x_kept;
}

Result<Credentials> CredentialSource::read(const std::string& path) const {
  const auto entries = read_section(path, profile());
  Credentials found;
  found.access_key_id = found_or_empty(entries, "aws_access_key_id");
  found.secret_access_key = found_or_empty(entries, "aws_secret_access_key");
  found.session_token = found_or_empty(entries, "aws_session_token");
  if (!found.access_key_id.empty() && !found.secret_access_key.empty()) return found;
  return unauthenticated(
      "object store: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write "
      "aws_access_key_id and aws_secret_access_key under [" +
      profile() + "] of " + path);
}

std::string CredentialSource::region() const {
  for (const char* variable : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    const std::string named = x_environment(variable);
    if (!named.empty()) return named;
  }
  const std::string own = profile();
  const std::string section = own == "default" ? own : "profile " + own;
  const auto entries = read_section(path_of("AWS_CONFIG_FILE", "config"), section);
  const std::string found = found_or_empty(entries, "region");
  return found.empty() ? "us-east-1" : found;
}

}  // namespace tarn::object
