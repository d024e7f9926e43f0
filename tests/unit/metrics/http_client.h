#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>

namespace tarn::metrics {

// One TCP connection to a port of this machine, that sends what it is told and reads until the
// other side closes.
class HttpClient {
 public:
  explicit HttpClient(uint16_t port) : x_fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    x_is_connected = ::connect(x_fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~HttpClient() { ::close(x_fd); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  bool is_connected() const { return x_is_connected; }

  // False when the other side has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(x_fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  void finish_sending() { ::shutdown(x_fd, SHUT_WR); }

  // All that comes until the other side closes, or says nothing for so long.
  std::string read_all(int silence_ms = 20'000) {
    std::string answer;
    char part[4096];
    pollfd readable{x_fd, POLLIN, 0};
    while (::poll(&readable, 1, silence_ms) == 1) {
      const ssize_t got = ::recv(x_fd, part, sizeof(part), 0);
      if (got <= 0) break;
      answer.append(part, static_cast<size_t>(got));
    }
    return answer;
  }

 private:
  int x_fd;
  bool x_is_connected = false;
};

inline std::string get(uint16_t port, const std::string& path = "/metrics") {
  HttpClient client(port);
  if (!client.is_connected()) return "";
  client.send("GET " + path + " HTTP/1.0\r\n\r\n");
  return client.read_all();
}

// What follows the headers.
inline std::string body_of(const std::string& answer) {
  const size_t end = answer.find("\r\n\r\n");
  return end == std::string::npos ? "" : answer.substr(end + 4);
}

}  // namespace tarn::metrics
