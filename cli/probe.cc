#include "cli/probe.h"

#include <array>
#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/text.h"
#include "common/base/check.h"

namespace tarn::cli {
namespace {

constexpr size_t kAnswerBytesMax = 64 << 10;

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

// Closes a socket at the end of a scope.
class Socket {
 public:
  explicit Socket(const addrinfo& address)
      : x_fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {}
  ~Socket() {
    if (x_fd >= 0) ::close(x_fd);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int fd() const { return x_fd; }

  // True when `events` came within the time.
  bool wait(short events, Millis timeout) const {
    pollfd ready{x_fd, events, 0};
    int count = 0;
    do {
      count = ::poll(&ready, 1, static_cast<int>(timeout.count()));
    } while (count < 0 && errno == EINTR);
    return count > 0;
  }

 private:
  int x_fd;
};

std::string reason(int error) {
  return std::generic_category().message(error);
}

Result<Addresses> resolve(const std::string& address) {
  TARN_ASSIGN_OR_RETURN(const HostPort where, parse_host_port("address", address));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = where.host.empty() ? AI_PASSIVE : 0;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(where.port);
  const char* const host = where.host.empty() ? nullptr : where.host.c_str();
  if (const int error = ::getaddrinfo(host, port.c_str(), &hints, &found); error != 0) {
    return unavailable(where.host + ": " + ::gai_strerror(error));
  }
  TARN_CHECK(found != nullptr);
  return Addresses(found, &::freeaddrinfo);
}

Status connect_to(const Socket& socket, const addrinfo& address, Millis timeout) {
  if (::connect(socket.fd(), address.ai_addr, address.ai_addrlen) == 0) return Status::ok();
  if (errno != EINPROGRESS) return unavailable(reason(errno));
  if (!socket.wait(POLLOUT, timeout)) return unavailable("no answer in time");
  int error = 0;
  socklen_t size = sizeof(error);
  ::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? Status::ok() : unavailable(reason(error));
}

Result<std::string> read_answer(const Socket& socket, Millis timeout) {
  std::string answer;
  std::array<char, 4096> chunk{};
  while (answer.size() < kAnswerBytesMax) {
    if (!socket.wait(POLLIN, timeout)) return unavailable("no answer in time");
    const ssize_t got = ::recv(socket.fd(), chunk.data(), chunk.size(), 0);
    if (got < 0) return unavailable(reason(errno));
    if (got == 0) break;
    answer.append(chunk.data(), static_cast<size_t>(got));
  }
  return answer;
}

Result<uint16_t> port_of(const Socket& socket) {
  sockaddr_storage name{};
  socklen_t size = sizeof(name);
  if (::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&name), &size) != 0) {
    return unavailable(reason(errno));
  }
  const in_port_t port = name.ss_family == AF_INET6
                             ? reinterpret_cast<const sockaddr_in6&>(name).sin6_port
                             : reinterpret_cast<const sockaddr_in&>(name).sin_port;
  return ntohs(port);
}

}  // namespace

Result<uint16_t> try_listen(const std::string& address) {
  TARN_ASSIGN_OR_RETURN(const Addresses found, resolve(address));
  const Socket socket(*found);
  const int on = 1;
  ::setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const bool is_free =
      ::bind(socket.fd(), found->ai_addr, found->ai_addrlen) == 0 && ::listen(socket.fd(), 1) == 0;
  if (is_free) return port_of(socket);
  const int error = errno;
  if (error == EADDRINUSE) return already_exists("something listens on " + address);
  if (error == EACCES) return permission_denied(address + " is reserved for root");
  return unavailable(address + ": " + reason(error));
}

Result<std::string> ask_by_tcp(const std::string& address, const std::string& request,
                               Millis timeout) {
  TARN_ASSIGN_OR_RETURN(const Addresses found, resolve(address));
  const Socket socket(*found);
  const Status connected = connect_to(socket, *found, timeout);
  if (!connected.is_ok()) return unavailable(address + ": " + connected.message());
  if (request.empty()) return std::string();
  const ssize_t sent = ::send(socket.fd(), request.data(), request.size(), MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(request.size())) return unavailable(address + " takes nothing");
  return read_answer(socket, timeout);
}

}  // namespace tarn::cli
