#pragma once

#include <cstdint>
#include <string>

#include "cli/owned_fd.h"
#include "common/base/result.h"

namespace tarn::cli {

inline constexpr uint32_t kDevServersMax = 16;
inline constexpr const char* kDevTenant = "dev";
inline constexpr const char* kDevRouter = "router-1";

// "server-1" for 0.
std::string dev_server_name(uint32_t index);

// The folder of `tarn dev`: what the SDK reads (ca.pem, token, endpoint), `secrets`, the states of
// router and servers, the log. Held by one supervisor at a time among all processes. Move-only,
// one-thread. Life: open, prepare, destroy.
class DevFolder {
 public:
  // Makes the folder, mode 0700, where there is none, and takes its lock.
  // Returns: the folder; conflict that names the process which holds it; permission_denied;
  // unavailable.
  static Result<DevFolder> open(const std::string& path);

  // Makes what is missing or near its end of secrets and credentials. Returns: ok;
  // invalid_argument; permission_denied; unavailable.
  Status prepare(const std::string& endpoint, uint32_t servers) const;

  const std::string& path() const { return x_path; }
  std::string log_file() const { return x_path + "/log"; }

 private:
  DevFolder(std::string path, OwnedFd lock) : x_path(std::move(path)), x_lock(std::move(lock)) {}

  std::string x_path;
  OwnedFd x_lock;
};

// Where the parts keep what is theirs, for the child, which does not hold the lock.
struct DevPaths {
  std::string folder;

  std::string secrets() const { return folder + "/secrets"; }
  std::string authority() const { return folder + "/config"; }
  std::string router_state() const { return folder + "/router"; }
  std::string server_state(uint32_t index) const { return folder + "/" + dev_server_name(index); }
};

}  // namespace tarn::cli
