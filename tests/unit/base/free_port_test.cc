#include "common/base/free_port.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include <gtest/gtest.h>

namespace tarn {
namespace {

TEST(FreePort, can_be_listened_on) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(free_port());
  EXPECT_NE(address.sin_port, 0);
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(::listen(fd, 1), 0);
  ::close(fd);
}

TEST(FreePort, is_never_one_that_an_outgoing_connection_may_take) {
  uint32_t first = 0;
  uint32_t last = 0;
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> first >> last;
  ASSERT_GT(last, first);
  for (int i = 0; i < 200; ++i) {
    const uint16_t port = free_port();
    EXPECT_TRUE(port < first || port > last) << port;
    EXPECT_GE(port, 1024);
  }
}

}  // namespace
}  // namespace tarn
