#include "cli/machine.h"

#include <algorithm>
#include <array>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include "common/base/units.h"

namespace tarn::cli {
namespace {

// As tarn-server asks for each lane, and room for what lies ready.
constexpr uint64_t kLaneBytes = 128 * kMiB;

std::string address_of(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address == nullptr) return {};
  const void* raw = nullptr;
  if (address->sa_family == AF_INET) {
    raw = &reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
  } else if (address->sa_family == AF_INET6) {
    raw = &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  } else {
    return {};
  }
  const char* const done = ::inet_ntop(address->sa_family, raw, text.data(), text.size());
  return done == nullptr ? "" : done;
}

}  // namespace

std::string device_of_host(const std::string& host) {
  if (host == "localhost" || host == "[::1]" || host.starts_with("127.")) return "lo";
  std::string bare = host;
  std::erase_if(bare, [](char c) { return c == '[' || c == ']'; });
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  std::string device;
  for (const ifaddrs* one = list; one != nullptr && device.empty(); one = one->ifa_next) {
    if (address_of(one->ifa_addr) == bare) device = one->ifa_name;
  }
  ::freeifaddrs(list);
  return device;
}

uint32_t lanes_that_fit(uint64_t dram_bytes) {
  return static_cast<uint32_t>(std::clamp<uint64_t>(dram_bytes / kLaneBytes, 1, 1024));
}

}  // namespace tarn::cli
