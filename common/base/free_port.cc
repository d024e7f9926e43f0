#include "common/base/free_port.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <random>

namespace tarn {
namespace {

constexpr uint32_t kFirstPort = 10'000;
constexpr uint32_t kLastPort = 65'535;
constexpr int kTriesMax = 1000;

// The kernel's own range, as it is by default where it cannot be read.
struct OutgoingPorts {
  uint32_t first = 32'768;
  uint32_t last = 60'999;

  OutgoingPorts() { std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> first >> last; }
  bool holds(uint32_t port) const { return port >= first && port <= last; }
};

bool is_free(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const bool is_bound = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  ::close(fd);
  return is_bound;
}

}  // namespace

uint16_t free_port() {
  const OutgoingPorts outgoing;
  std::random_device dice;
  std::uniform_int_distribution<uint32_t> ports(kFirstPort, kLastPort);
  for (int i = 0; i < kTriesMax; ++i) {
    const auto port = static_cast<uint16_t>(ports(dice));
    if (!outgoing.holds(port) && is_free(port)) return port;
  }
  return 0;
}

}  // namespace tarn
