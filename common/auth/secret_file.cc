#include "common/auth/secret_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/fault_point.h"

namespace tarn::auth {
namespace {

// Closes a file descriptor at the end of a scope.
class File {
 public:
  explicit File(int fd) : x_fd(fd) {}
  ~File() {
    if (x_fd >= 0) ::close(x_fd);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  bool is_open() const { return x_fd >= 0; }
  int fd() const { return x_fd; }
  int release() { return std::exchange(x_fd, -1); }

 private:
  int x_fd;
};

Status failed(const std::string& what, const std::string& path) {
  const int error = errno;
  const std::string why = what + " " + path + ": " + std::generic_category().message(error);
  if (error == ENOENT) return not_found(why);
  if (error == EACCES || error == EPERM) return permission_denied(why);
  return unavailable(why);
}

Status write_all(const File& file, std::string_view rest, const std::string& path) {
  while (!rest.empty()) {
    const ssize_t written = ::write(file.fd(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed("cannot write", path);
    rest.remove_prefix(static_cast<size_t>(written));
  }
  if (::fsync(file.fd()) != 0) return failed("cannot sync", path);
  return Status::ok();
}

Result<std::string> read_all(const File& file, size_t size, const std::string& path) {
  std::string contents(size, '\0');
  size_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(file.fd(), contents.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("cannot read", path);
    if (got == 0) return corrupt(path + " became shorter while it was read");
    done += static_cast<size_t>(got);
  }
  TARN_CHECK(contents.size() == size);
  return contents;
}

Status sync_folder(const std::string& folder) {
  const File file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file.is_open() || ::fsync(file.fd()) != 0) return failed("cannot sync", folder);
  return Status::ok();
}

// Leaves nothing of a write that failed.
Status write_new(const std::string& path, std::string_view contents) {
  ::unlink(path.c_str());  // left by a crash
  const File file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.is_open()) return failed("cannot create", path);
  Status written = write_all(file, contents, path);
  if (written.is_ok() && TARN_FAULT_POINT("auth.secrets_write")) {
    written = unavailable("cannot write " + path + ": fault point");
  }
  if (!written.is_ok()) ::unlink(path.c_str());
  return written;
}

}  // namespace

Result<std::string> read_secret_file(const std::string& path, Privacy privacy) {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) return failed("cannot open", path);
  struct stat found {};
  if (::fstat(file.fd(), &found) != 0) return failed("cannot look at", path);
  const auto size = static_cast<size_t>(found.st_size);
  if (!S_ISREG(found.st_mode) || size > kSecretFileBytesMax) {
    return corrupt(path + " is no file of a key or certificate");
  }
  if (privacy == Privacy::owner && (found.st_mode & 077) != 0) {
    return permission_denied(path + " is open to others than its owner; run: chmod 600 " + path);
  }
  return read_all(file, size, path);
}

Status write_secret_file(const std::string& folder, const std::string& name,
                         std::string_view contents) {
  TARN_CHECK(!name.empty() && name.find('/') == std::string::npos);
  const std::string path = folder + "/" + name;
  const std::string unfinished = folder + "/." + name + ".new";
  TARN_RETURN_IF_ERROR(write_new(unfinished, contents));
  if (TARN_FAULT_POINT("auth.secrets_rename")) {
    return unavailable("cannot rename " + unfinished + ": fault point");
  }
  if (::rename(unfinished.c_str(), path.c_str()) != 0) return failed("cannot rename", unfinished);
  return sync_folder(folder);
}

Status make_secret_folder(const std::string& folder) {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::path(folder).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (error) return unavailable("cannot make " + parent.string() + ": " + error.message());
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return failed("cannot make", folder);
  return check_secret_folder(folder);
}

Status check_secret_folder(const std::string& folder) {
  struct stat found {};
  if (::stat(folder.c_str(), &found) != 0) return failed("cannot open the secrets folder", folder);
  if (!S_ISDIR(found.st_mode)) return invalid_argument(folder + " is no folder");
  if ((found.st_mode & 022) != 0) {
    return permission_denied("others may write in " + folder + "; run: chmod 700 " + folder);
  }
  return Status::ok();
}

Result<FolderLock> FolderLock::open(const std::string& folder) {
  File file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file.is_open()) return failed("cannot open", folder);
  if (::flock(file.fd(), LOCK_EX | LOCK_NB) != 0) {
    return unavailable("another process is writing in " + folder + "; try again in a moment");
  }
  return FolderLock(file.release());
}

FolderLock::FolderLock(FolderLock&& other) noexcept : x_fd(std::exchange(other.x_fd, -1)) {}

FolderLock::~FolderLock() {
  if (x_fd >= 0) ::close(x_fd);
}

}  // namespace tarn::auth
