#include "common/fabric/ucx_settings.h"

#include <sys/stat.h>
#include <ucp/api/ucp.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <mutex>

#include "common/base/check.h"

namespace tarn::fabric {
namespace {

struct Variable {
  const char* name;
  const char* value;
};

// Refused by ucp_config_modify with "invalid configuration" in 1.13.
constexpr std::array kEnvironment = {
    Variable{"UCX_TCP_TX_SEG_SIZE", kUcxTcpSegment.data()},
    Variable{"UCX_TCP_RX_SEG_SIZE", kUcxTcpSegment.data()},
    // 64K ends the process, 8K makes small blocks slow.
    Variable{"UCX_POSIX_SEG_SIZE", "32K"},
    Variable{"UCX_CMA_MEMORY_INVALIDATE", "y"},
};

// 1.13's default, not later ones': UcxWorker chooses the moment.
const std::pair<std::string, std::string> kWireUpWithTheFirstReply{"RESOLVE_REMOTE_EP_ID", "n"};

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "default" : value;
}

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The namespace of process ids and the folder of shared memory, as the kernel numbers them.
std::string shared_memory_place() {
  struct stat pid_namespace {};
  struct stat shared_memory {};
  if (stat("/proc/self/ns/pid", &pid_namespace) != 0) return "unknown";
  if (stat("/dev/shm", &shared_memory) != 0) return "none";
  return std::to_string(pid_namespace.st_ino) + "." + std::to_string(shared_memory.st_dev);
}

}  // namespace

void prepare_ucx_environment() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (const Variable& each : kEnvironment)
      setenv(each.name, each.value, 0);
  });
}

bool is_rdma_device(std::string_view device) {
  return device.find(':') != std::string_view::npos;
}

std::vector<std::pair<std::string, std::string>> ucx_config(Kind kind, std::string_view device) {
  TARN_CHECK(kind == Kind::ucx || kind == Kind::ucx_shm);
  if (kind == Kind::ucx) {
    return {{"TLS", is_rdma_device(device) ? "rc,ud" : "tcp"},
            {"NET_DEVICES", std::string(device)},
            // 1.13's new protocols are slower on TCP and crash in places.
            {"PROTO_ENABLE", "n"},
            kWireUpWithTheFirstReply,
            {"KEEPALIVE_INTERVAL", "1s"}};
  }
  return {{"TLS", "posix,cma,self"},
          // Without this, error handling silently takes shared memory away.
          {"MM_ERROR_HANDLING", "y"},
          {"RNDV_SCHEME", "get_zcopy"},
          {"PROTO_ENABLE", "n"},
          kWireUpWithTheFirstReply,
          {"KEEPALIVE_INTERVAL", "1s"}};
}

std::string ucx_version() {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned patch = 0;
  ucp_get_version(&major, &minor, &patch);
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

std::string settings_fingerprint(Kind kind, std::string_view device) {
  prepare_ucx_environment();
  if (kind == Kind::ucx_shm) {
    return "shm posix_seg=" + environment("UCX_POSIX_SEG_SIZE") + " at=" + shared_memory_place();
  }
  TARN_CHECK(kind == Kind::ucx);
  if (is_rdma_device(device)) return "rdma";
  return "tcp tx_seg=" + environment("UCX_TCP_TX_SEG_SIZE") +
         " rx_seg=" + environment("UCX_TCP_RX_SEG_SIZE");
}

std::string host_fingerprint() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) name[0] = '\0';
  return first_line("/proc/sys/kernel/random/boot_id") + "/" + name.data();
}

}  // namespace tarn::fabric
