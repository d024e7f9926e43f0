#include "common/fabric/local_socket.h"

#include <dirent.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <random>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/fabric/local_closing.h"

namespace tarn::fabric {
namespace {

constexpr int kBacklog = 128;
constexpr std::string_view kSuffix = ".sock";
constexpr std::string_view kEarly = ".new";
// A server is slower than that only when it was killed.
constexpr time_t kEarlySecondsMax = 60;
constexpr int kSoPeerPidFd = 77;  // SO_PEERPIDFD, which headers before Linux 6.5 lack
constexpr size_t kNameDigits = 16;
// What does not fit is closed in the call, by the caller's thread; the kernel takes no more at
// once.
constexpr size_t kPassedMax = 253;

std::string in_words(int error) {
  return std::strerror(error);
}

bool is_name(const std::string& name) {
  return name.size() == kNameDigits + kSuffix.size() && name.ends_with(kSuffix) &&
         std::all_of(name.begin(), name.begin() + kNameDigits, [](char each) {
           return (each >= '0' && each <= '9') || (each >= 'a' && each <= 'f');
         });
}

std::string new_name() {
  std::random_device random;
  char digits[kNameDigits + 1];
  std::snprintf(digits, sizeof(digits), "%08x%08x", random(), random());
  return std::string(digits) + std::string(kSuffix);
}

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return invalid_argument("local_dir: " + path + " is too long for a unix socket");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<int> new_socket() {
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return unavailable("no unix socket: " + in_words(errno));
  return fd;
}

bool connects(int fd, const sockaddr_un& address) {
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

// The one file that a message may bring; -1 for none.
int passed_with(msghdr& message, bool& is_sound) {
  int found = -1;
  is_sound = (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) == 0;
  for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
       each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(each) + i * sizeof(int), sizeof(fd));
      if (found >= 0) {
        is_sound = false;
        close_passed(fd);
      } else {
        found = fd;
      }
    }
  }
  return found;
}

}  // namespace

Result<LocalFolder> LocalFolder::open_default(bool is_server) {
  const char* const named = std::getenv("TARN_LOCAL_DIR");
  if (named != nullptr && *named != '\0') return open(named, is_server);
  const uid_t user = ::geteuid();
  const std::string path = user == 0 ? "/run/tarn" : "/tmp/tarn-" + std::to_string(user);
  return open(path, true, Owner::user_or_root);
}

Result<LocalFolder> LocalFolder::open(const std::string& path, bool create, Owner owner) {
  if (create && ::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return invalid_argument("local_dir: " + path + ": " + in_words(errno));
  }
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) {
    return not_found("local_dir: " + path + ": " + in_words(errno));
  }
  if (!S_ISDIR(found.st_mode)) return invalid_argument("local_dir: " + path + " is no folder");
  const bool is_safe = (found.st_mode & S_IWOTH) == 0 || (found.st_mode & S_ISVTX) != 0;
  if (!is_safe) {
    return invalid_argument("local_dir: anybody may replace what is in " + path +
                            ": take away the right to write, or set the sticky bit");
  }
  const bool is_theirs = found.st_uid == 0 || found.st_uid == ::geteuid();
  if (owner == Owner::user_or_root && !is_theirs) {
    return invalid_argument("local_dir: " + path +
                            " belongs to another user: name it in TARN_LOCAL_DIR to trust it");
  }
  return LocalFolder{path, std::to_string(found.st_dev) + ":" + std::to_string(found.st_ino)};
}

LocalNote refused_note(const std::string& why) {
  LocalNote note;
  note.type = LocalNote::Type::refused;
  std::copy_n(why.begin(), std::min(why.size(), note.text.size() - 1), note.text.begin());
  return note;
}

std::string text_of(const LocalNote& note) {
  const auto end = std::find(note.text.begin(), note.text.end(), '\0');
  return {note.text.begin(), end};
}

Result<LocalSocket::Listening> LocalSocket::listen(const LocalFolder& folder) {
  TARN_ASSIGN_OR_RETURN(const int fd, new_socket());
  LocalSocket socket(fd);
  const std::string name = new_name();
  const std::string path = folder.path + "/" + name;
  // Under another name until it listens, so that what refuses to connect is dead.
  const std::string early = path + std::string(kEarly);
  TARN_ASSIGN_OR_RETURN(const sockaddr_un address, address_of(early));
  const auto fail = [&](const char* step) {
    const Status failed = unavailable(std::string("a unix socket in ") + folder.path + ": " + step +
                                      ": " + in_words(errno));
    ::unlink(early.c_str());
    return failed;
  };
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail("bind");
  }
  // The folder decides who comes here.
  if (::chmod(early.c_str(), 0666) != 0) return fail("chmod");
  if (::listen(fd, kBacklog) != 0) return fail("listen");
  if (::rename(early.c_str(), path.c_str()) != 0) return fail("rename");
  return Listening{std::move(socket), name};
}

Result<LocalSocket> LocalSocket::connect(const LocalFolder& folder, const std::string& name) {
  if (!is_name(name)) return invalid_argument("a local address names no socket");
  TARN_ASSIGN_OR_RETURN(const sockaddr_un address, address_of(folder.path + "/" + name));
  TARN_ASSIGN_OR_RETURN(const int fd, new_socket());
  LocalSocket socket(fd);
  if (TARN_FAULT_POINT("fabric.local_connect") || !connects(fd, address)) {
    return unavailable("nobody listens at " + folder.path + "/" + name + ": " + in_words(errno));
  }
  return socket;
}

LocalSocket& LocalSocket::operator=(LocalSocket&& other) noexcept {
  std::swap(x_fd, other.x_fd);
  std::swap(x_is_strangers, other.x_is_strangers);
  return *this;
}

void LocalSocket::close() {
  if (x_fd < 0) return;
  const int fd = std::exchange(x_fd, -1);
  if (!x_is_strangers) {
    ::close(fd);
    return;
  }
  // The peer hears of it at once.
  ::shutdown(fd, SHUT_RDWR);
  close_elsewhere(fd);
}

Result<LocalSocket> LocalSocket::accept() {
  const int fd = ::accept4(x_fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0 && is_shortage(errno)) return overloaded("no file to spare for a local client");
  if (fd < 0) return not_found("nobody waits");
  return LocalSocket(fd, true);
}

Status LocalSocket::send(const LocalNote& note, int passed) {
  iovec part{const_cast<LocalNote*>(&note), sizeof(note)};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (passed >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(head), &passed, sizeof(passed));
  }
  const ssize_t sent = ::sendmsg(x_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(sizeof(note))) return Status::ok();
  const bool is_full = errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ||
                       errno == ETOOMANYREFS || errno == EINTR;
  return is_full ? overloaded("the peer does not read its socket")
                 : unavailable("the local peer is gone: " + in_words(errno));
}

Status LocalSocket::receive(LocalNote& note, int& passed) {
  passed = -1;
  iovec part{&note, sizeof(note)};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kPassedMax * sizeof(int))];
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t got = ::recvmsg(x_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) {
    const bool is_empty = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (is_empty) return not_found("no note");
    if (is_shortage(errno)) return overloaded("no memory for a note of a local peer");
    return unavailable("the local peer is gone");
  }
  bool is_sound = true;
  passed = passed_with(message, is_sound);
  // There is always room for one: none at all means that this process may open no more.
  if ((message.msg_flags & MSG_CTRUNC) != 0 && passed < 0) {
    return overloaded("no file to spare for what a local peer has passed");
  }
  if (got == 0 && passed < 0) return unavailable("the local peer has gone");
  if (is_sound && got == static_cast<ssize_t>(sizeof(note)) && note.magic == LocalNote::kMagic) {
    return Status::ok();
  }
  if (passed >= 0) close_passed(std::exchange(passed, -1));
  return invalid_argument("no note of the local fabric came");
}

LocalProcess LocalProcess::behind(const LocalSocket& accepted) {
  int fd = -1;
  socklen_t size = sizeof(fd);
  if (::getsockopt(accepted.fd(), SOL_SOCKET, kSoPeerPidFd, &fd, &size) == 0) {
    return LocalProcess(fd);
  }
  if (errno != ENOPROTOOPT) return {};
  ucred peer{};
  size = sizeof(peer);
  const bool is_visible =
      ::getsockopt(accepted.fd(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid > 0;
  return LocalProcess(is_visible ? static_cast<int>(::syscall(SYS_pidfd_open, peer.pid, 0)) : -1);
}

LocalProcess::~LocalProcess() {
  if (x_fd >= 0) ::close(x_fd);
}

namespace {

bool is_dead(const std::string& path) {
  const auto address = address_of(path);
  const auto fd = new_socket();
  if (!fd) return false;
  const LocalSocket socket(*fd);
  return address && !connects(*fd, *address) && errno == ECONNREFUSED;
}

// Its server was killed before it listened there.
bool is_abandoned(const std::string& path) {
  struct stat found {};
  return ::lstat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode) &&
         ::time(nullptr) - found.st_mtime > kEarlySecondsMax;
}

}  // namespace

void sweep(const LocalFolder& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> all(::opendir(folder.path.c_str()), ::closedir);
  if (all == nullptr) return;
  while (const dirent* const entry = ::readdir(all.get())) {
    const std::string name = entry->d_name;
    const std::string path = folder.path + "/" + name;
    const bool is_early = name.ends_with(kEarly);
    if (!is_name(is_early ? name.substr(0, name.size() - kEarly.size()) : name)) continue;
    if (is_early ? is_abandoned(path) : is_dead(path)) ::unlink(path.c_str());
  }
}

}  // namespace tarn::fabric
