#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

#include <ifaddrs.h>
#include <net/if.h>

#include "cli/checkup.h"
#include "cli/probe.h"
#include "cli/program.h"
#include "common/config/text.h"
#include "common/fabric/ucx_context.h"
#include "common/fabric/ucx_settings.h"

namespace tarn::cli {
namespace {

constexpr Millis kProgramTimeout{5000};
constexpr Millis kProbeTimeout{2000};
constexpr size_t kDevicesMax = 16;

// Network interfaces that are up and have an IPv4 address.
std::vector<std::string> interfaces() {
  std::set<std::string> names;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {"lo"};
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    const bool is_up = (one->ifa_flags & IFF_UP) != 0;
    const bool is_v4 = one->ifa_addr != nullptr && one->ifa_addr->sa_family == AF_INET;
    if (is_up && is_v4 && names.size() < kDevicesMax) names.insert(one->ifa_name);
  }
  ::freeifaddrs(list);
  return {names.begin(), names.end()};
}

std::vector<std::string> rdma_ports() {
  std::error_code error;
  std::vector<std::string> names;
  std::filesystem::directory_iterator devices("/sys/class/infiniband", error);
  for (; !error && devices != std::filesystem::directory_iterator(); devices.increment(error)) {
    if (names.size() < kDevicesMax) names.push_back(devices->path().filename().string() + ":1");
  }
  return names;
}

Finding check_device(const std::string& device) {
  const auto context = fabric::UcxContext::open({fabric::Kind::ucx, device});
  const std::string name = "ucx " + device;
  if (context) return {name, Health::ok, (*context)->transport(), ""};
  const bool is_rdma = fabric::is_rdma_device(device);
  return {name, Health::warning, context.error().message(),
          is_rdma ? "check the port with ibv_devinfo; bulk bytes take TCP meanwhile"
                  : "bulk bytes of peers behind it travel by gRPC"};
}

Finding check_ucx_info() {
  const auto text = read_program({"ucx_info", "-d"}, kProgramTimeout);
  if (!text) {
    return {"ucx_info", Health::ok, "not at hand (" + text.error().message() + ")",
            "optional: the package ucx-utils shows every transport of this machine"};
  }
  return {"ucx_info", Health::ok, config::join(ucx_transports(*text), ", "), ""};
}

std::string word_after(std::string_view line, std::string_view label) {
  const size_t at = line.find(label);
  if (at == std::string_view::npos) return {};
  line.remove_prefix(at + label.size());
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  return std::string(line.substr(0, line.find(' ')));
}

}  // namespace

std::vector<std::string> ucx_transports(std::string_view ucx_info) {
  std::vector<std::string> found;
  std::string transport;
  while (!ucx_info.empty()) {
    const size_t end = std::min(ucx_info.find('\n'), ucx_info.size());
    const std::string_view line = ucx_info.substr(0, end);
    ucx_info.remove_prefix(std::min(end + 1, ucx_info.size()));
    if (std::string word = word_after(line, "Transport:"); !word.empty()) transport = word;
    const std::string device = word_after(line, "Device:");
    if (!device.empty() && !transport.empty()) found.push_back(transport + "/" + device);
  }
  return found;
}

Findings check_ucx() {
  Findings all = {{"ucx", Health::ok, "version " + fabric::ucx_version(), ""}};
  for (const std::string& device : interfaces())
    all.push_back(check_device(device));
  const auto ports = rdma_ports();
  for (const std::string& device : ports)
    all.push_back(check_device(device));
  if (ports.empty()) {
    all.push_back({"rdma", Health::ok, "no RDMA device; bulk bytes take TCP", ""});
  }
  const auto shm = fabric::UcxContext::open({fabric::Kind::ucx_shm, ""});
  all.push_back({"ucx shm", Health::ok, shm ? (*shm)->transport() : shm.error().message(), ""});
  all.push_back(check_ucx_info());
  return all;
}

Finding check_port(const std::string& address) {
  const std::string name = "port " + address;
  const auto free = try_listen(address);
  if (free) return {name, Health::ok, "free", ""};
  if (free.error().code() == Code::exists) {
    return {name, Health::ok, "in use",
            "fine when it is a router of yours (`tarn status` tells); else choose another with "
            "--listen"};
  }
  return {name, Health::problem, free.error().message(),
          "name an address of this machine with --listen"};
}

Finding check_etcd(const std::string& endpoint) {
  const std::string request =
      "GET /health HTTP/1.1\r\nHost: " + endpoint + "\r\nConnection: close\r\n\r\n";
  const auto answer = ask_by_tcp(endpoint, request, kProbeTimeout);
  const std::string name = "etcd " + endpoint;
  if (!answer) {
    return {name, Health::problem, answer.error().message(),
            "start etcd; until then a cluster goes on under its last config, and changes wait"};
  }
  if (answer->find("\"health\":\"true\"") != std::string::npos) {
    return {name, Health::ok, "healthy", ""};
  }
  return {name, Health::problem, "answers, but does not say that it is healthy",
          "see `etcdctl endpoint health`: does it have a leader?"};
}

}  // namespace tarn::cli
