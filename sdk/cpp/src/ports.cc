#include "sdk/cpp/src/ports.h"

#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/fabric/grpc_port.h"
#include "common/fabric/local_port.h"
#include "common/fabric/ucx_port.h"
#include "common/fabric/ucx_settings.h"

namespace tarn::sdk {
namespace {

using fabric::Kind;

bool is_same_address(const sockaddr* a, const sockaddr* b) {
  if (a == nullptr || a->sa_family != b->sa_family) return false;
  if (a->sa_family == AF_INET) {
    return reinterpret_cast<const sockaddr_in*>(a)->sin_addr.s_addr ==
           reinterpret_cast<const sockaddr_in*>(b)->sin_addr.s_addr;
  }
  return a->sa_family == AF_INET6 &&
         std::memcmp(&reinterpret_cast<const sockaddr_in6*>(a)->sin6_addr,
                     &reinterpret_cast<const sockaddr_in6*>(b)->sin6_addr, sizeof(in6_addr)) == 0;
}

// The interface that has this address of our own.
std::string interface_of(const sockaddr* own) {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(all, freeifaddrs);
  for (const ifaddrs* each = all; each != nullptr; each = each->ifa_next)
    if (is_same_address(each->ifa_addr, own)) return each->ifa_name;
  return {};
}

// A datagram socket that is connected knows its own address; nothing is sent.
std::string interface_to(const addrinfo& peer) {
  const int fd = socket(peer.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return {};
  sockaddr_storage own{};
  socklen_t own_bytes = sizeof(own);
  auto* const own_address = reinterpret_cast<sockaddr*>(&own);
  const bool is_known = connect(fd, peer.ai_addr, peer.ai_addrlen) == 0 &&
                        getsockname(fd, own_address, &own_bytes) == 0;
  close(fd);
  return is_known ? interface_of(own_address) : std::string();
}

std::string ucx_device(const std::string& router_endpoint) {
  const char* const named = std::getenv(kFabricDeviceVariable);
  return named != nullptr && *named != '\0' ? std::string(named) : device_towards(router_endpoint);
}

Result<std::shared_ptr<fabric::UcxContext>> open_context(Kind kind, const std::string& device) {
  if (TARN_FAULT_POINT("sdk.ucx_port")) return unavailable("UCX cannot be had");
  return fabric::UcxContext::open({kind, device});
}

Result<std::unique_ptr<fabric::Port>> open_port(std::shared_ptr<fabric::UcxContext> context) {
  fabric::UcxPort::Options options;
  options.context = std::move(context);
  TARN_ASSIGN_OR_RETURN(auto port, fabric::UcxPort::open(std::move(options)));
  return std::unique_ptr<fabric::Port>(std::move(port));
}

void add_ucx(Ports& ports, Kind kind, const std::string& device) {
  auto context = open_context(kind, device);
  auto port =
      context ? open_port(*context) : Result<std::unique_ptr<fabric::Port>>(context.error());
  if (!port) {
    ports.note = std::string(fabric::kind_name(kind)) + ": " + port.error().message();
    log::debug("{}; going on without", ports.note);
    return;
  }
  ports.contexts.push_back(*std::move(context));
  ports.offers.push_back({kind, fabric::ucx_version(), fabric::settings_fingerprint(kind, device),
                          (*port)->address(), fabric::host_fingerprint()});
  ports.ports.push_back(std::move(port).value());
}

Result<std::unique_ptr<fabric::LocalPort>> open_local(
    const std::shared_ptr<fabric::LocalMemory>& shown, std::string& folder_fingerprint) {
  TARN_ASSIGN_OR_RETURN(auto folder, fabric::LocalFolder::open_default(false));
  folder_fingerprint = folder.fingerprint;
  return fabric::LocalPort::open(
      {.folder = std::move(folder), .is_server = false, .memory = shown});
}

// Where there is no folder, servers of this host cannot be found.
void add_local(Ports& ports) {
  auto shown = std::make_shared<fabric::LocalMemory>();
  std::string folder;
  auto port = open_local(shown, folder);
  if (!port) {
    ports.note = "local: " + port.error().message();
    log::debug("{}; going on without", ports.note);
    return;
  }
  ports.offers.push_back(
      {Kind::local, fabric::local_version(), folder, (*port)->address(), fabric::local_host()});
  ports.ports.push_back(std::move(port).value());
  ports.shown = std::move(shown);
}

}  // namespace

std::string device_towards(const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  std::string host = endpoint.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const std::string port = colon == std::string::npos ? "" : endpoint.substr(colon + 1);
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return "lo";
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
  const std::string name = interface_to(*found);
  return name.empty() ? "lo" : name;
}

Result<Ports> open_ports(Transport transport, const std::string& router_endpoint) {
  Ports ports;
  if (transport == Transport::automatic || transport == Transport::local) add_local(ports);
  if (transport == Transport::shm) add_ucx(ports, Kind::ucx_shm, "");
  if (transport == Transport::automatic || transport == Transport::tcp) {
    add_ucx(ports, Kind::ucx, ucx_device(router_endpoint));
  }
  TARN_ASSIGN_OR_RETURN(auto grpc, fabric::GrpcPort::open_client(nullptr));
  ports.offers.push_back({Kind::grpc, "1", "", grpc->address(), ""});
  ports.ports.push_back(std::move(grpc));
  return ports;
}

}  // namespace tarn::sdk
