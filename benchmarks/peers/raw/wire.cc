#include "benchmarks/peers/raw/wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>

namespace tarn::peers {
namespace {

constexpr size_t kPartsMax = 8;

Status failed(const std::string& what) {
  return unavailable(what + ": " + std::generic_category().message(errno));
}

}  // namespace

Wire::~Wire() {
  if (x_fd >= 0) close(x_fd);
}

Status Wire::connect(const std::string& address) {
  const size_t colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  uint16_t port = 0;
  const std::string host = address.substr(0, colon);
  if (colon == std::string::npos || inet_pton(AF_INET, host.c_str(), &to.sin_addr) != 1 ||
      std::from_chars(address.data() + colon + 1, address.data() + address.size(), port).ec !=
          std::errc()) {
    return invalid_argument("no HOST:PORT: " + address);
  }
  to.sin_port = htons(port);
  x_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (x_fd < 0) return failed("socket");
  const int on = 1;
  setsockopt(x_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::connect(x_fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    return failed("connect to " + address);
  }
  return Status::ok();
}

Status Wire::send(std::initializer_list<std::string_view> parts) {
  if (parts.size() > kPartsMax) return internal_error("a message of too many parts");
  std::array<iovec, kPartsMax> runs{};
  size_t count = 0;
  for (const std::string_view part : parts)
    runs[count++] = {const_cast<char*>(part.data()), part.size()};
  for (size_t first = 0; first < count;) {
    const ssize_t sent = writev(x_fd, &runs[first], static_cast<int>(count - first));
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return failed("send");
    auto left = static_cast<size_t>(sent);
    while (first < count && left >= runs[first].iov_len)
      left -= runs[first++].iov_len;
    if (first == count) break;
    runs[first].iov_base = static_cast<char*>(runs[first].iov_base) + left;
    runs[first].iov_len -= left;
  }
  return Status::ok();
}

Status Wire::receive_more() {
  if (x_begin == x_end) x_begin = x_end = 0;
  if (x_end == x_buffer.size()) {
    if (x_begin == 0) return internal_error("an answer's line is too long");
    std::memmove(x_buffer.data(), &x_buffer[x_begin], x_end - x_begin);
    x_end -= x_begin;
    x_begin = 0;
  }
  ssize_t got = 0;
  do {
    got = recv(x_fd, &x_buffer[x_end], x_buffer.size() - x_end, 0);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return unavailable("the server has closed the connection");
  if (got < 0) return failed("receive");
  x_end += static_cast<size_t>(got);
  return Status::ok();
}

Result<std::string_view> Wire::read_line() {
  for (size_t searched = 0;;) {
    const std::string_view have(&x_buffer[0] + x_begin, x_end - x_begin);
    const size_t at = have.find("\r\n", searched == 0 ? 0 : searched - 1);
    if (at != std::string_view::npos) {
      x_begin += at + 2;
      return have.substr(0, at);
    }
    searched = have.size();
    TARN_RETURN_IF_ERROR(receive_more());
  }
}

Status Wire::read_into(std::span<std::byte> place) {
  const size_t here = std::min(place.size(), x_end - x_begin);
  std::memcpy(place.data(), x_buffer.data() + x_begin, here);
  x_begin += here;
  for (size_t done = here; done < place.size();) {
    const ssize_t got = recv(x_fd, place.data() + done, place.size() - done, MSG_WAITALL);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) return unavailable("the server has closed the connection");
    if (got < 0) return failed("receive");
    done += static_cast<size_t>(got);
  }
  return Status::ok();
}

}  // namespace tarn::peers
