#include "cli/dev_folder.h"

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>

#include "cli/credentials_folder.h"
#include "cli/text.h"
#include "common/auth/secret_file.h"
#include "common/auth/secrets_dir.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/units.h"

namespace tarn::cli {
namespace {

// Renewed at every start and once an hour; see the supervisor's tick.
constexpr int64_t kTokenLifeMs = int64_t{90} * 24 * 3'600'000;
constexpr uint64_t kLogBytesMax = 16 * kMiB;
constexpr uint64_t kFreeBytesMin = 32 * kMiB;

// The number that the holder has written; empty while it has not.
std::string holder_of(int fd) {
  std::array<char, 32> text{};
  const ssize_t got = ::pread(fd, text.data(), text.size() - 1, 0);
  const std::string words(text.data(), got > 0 ? static_cast<size_t>(got) : 0);
  return words.substr(0, words.find_first_not_of("0123456789"));
}

Result<OwnedFd> take_lock(const std::string& folder) {
  const std::string path = folder + "/lock";
  OwnedFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.is_open()) {
    return unavailable("cannot open " + path + ": " + std::generic_category().message(errno));
  }
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    const std::string pid = holder_of(fd.get());
    return conflict("`tarn dev` runs on " + folder + " already" +
                    (pid.empty() ? "" : " (process " + pid + ")") +
                    ": use that one, stop it, or name another folder with --data");
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  const bool is_written =
      ::ftruncate(fd.get(), 0) == 0 &&
      ::pwrite(fd.get(), pid.data(), pid.size(), 0) == static_cast<ssize_t>(pid.size());
  if (!is_written) return unavailable("cannot write " + path);
  return fd;
}

// A full disk shows late and in strange words: a config that is never written, a log that is empty.
Status check_room(const std::string& folder) {
  struct statvfs info {};
  if (::statvfs(folder.c_str(), &info) != 0) return Status::ok();
  const uint64_t free_bytes = info.f_bavail * info.f_frsize;
  if (free_bytes >= kFreeBytesMin) return Status::ok();
  return unavailable("the disk of " + folder + " has " + format_bytes(free_bytes) +
                     " left and `tarn dev` needs " + format_bytes(kFreeBytesMin) +
                     ": make space, or name another folder with --data");
}

// One old log is kept.
void rotate_log(const std::string& path) {
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(path, error);
  if (!error && size > kLogBytesMax) std::filesystem::rename(path, path + ".old", error);
}

}  // namespace

std::string dev_server_name(uint32_t index) {
  return "server-" + std::to_string(index + 1);
}

Result<DevFolder> DevFolder::open(const std::string& path) {
  TARN_CHECK(!path.empty());
  TARN_RETURN_IF_ERROR(auth::make_secret_folder(path));
  TARN_RETURN_IF_ERROR(check_room(path));
  TARN_ASSIGN_OR_RETURN(OwnedFd lock, take_lock(path));
  DevFolder folder(path, std::move(lock));
  rotate_log(folder.log_file());
  return folder;
}

Status DevFolder::prepare(const std::string& endpoint, uint32_t servers) const {
  TARN_CHECK(servers > 0 && servers <= kDevServersMax);
  const DevPaths paths{x_path};
  auth::SecretsOptions wanted;
  wanted.identities = {{auth::Role::admin, "admin", ""}, {auth::Role::router, kDevRouter, ""}};
  for (uint32_t i = 0; i < servers; ++i)
    wanted.identities.push_back({auth::Role::server, dev_server_name(i), ""});
  TARN_ASSIGN_OR_RETURN(const auth::SecretsDir secrets,
                        auth::SecretsDir::create_all(paths.secrets(), wanted));
  TARN_ASSIGN_OR_RETURN(const auth::TokenSigner signer, secrets.token_signer());
  TARN_ASSIGN_OR_RETURN(const auth::Identity tenant,
                        auth::make_identity(auth::Role::tenant, kDevTenant));
  FolderParts parts;
  TARN_ASSIGN_OR_RETURN(parts.token, signer.sign(tenant, system_clock().unix_ms() + kTokenLifeMs));
  TARN_ASSIGN_OR_RETURN(parts.ca_pem, secrets.ca_pem());
  parts.endpoint = endpoint;
  return write_credentials_folder(x_path, parts);
}

}  // namespace tarn::cli
