#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fabric/fabric.h"

namespace tarn::fabric {

// Payloads from this size on move by rendezvous, straight into the receiver's memory when asked
// for; smaller ones ride along with the header. Measured on TCP: below it the extra round trip
// costs more than the copy.
inline constexpr uint64_t kRendezvousBytesMin = 128 * 1024;

// The TCP segments of both sides. A sender's segment larger than the receiver's ends the receiver's
// process (1.13.1 and 1.22), so the numbers are part of settings_fingerprint().
inline constexpr std::string_view kUcxTcpSegment = "256K";

// Sets the environment variables that UCX takes in no other way, where the user has not set them.
// Call it first thing in main, before any thread: setenv is not thread-safe. UcxContext::open calls
// it too, for programs that have not.
void prepare_ucx_environment();

// What ucp_config_modify takes for a context of `kind` (ucx or ucx_shm) on `device`.
std::vector<std::pair<std::string, std::string>> ucx_config(Kind kind, std::string_view device);

// The UCX that this process has loaded, "1.13.1": must be equal on both sides.
std::string ucx_version();

// The settings that both sides must share, in words; see kUcxTcpSegment. For ucx_shm it names the
// pid namespace and /dev/shm, without which the shared memory of the peer cannot be opened.
std::string settings_fingerprint(Kind kind, std::string_view device);

// Equal for processes of one running system: boot id and host name.
std::string host_fingerprint();

// True when `device` names an RDMA port as UCX does ("mlx5_0:1") and not a network interface.
bool is_rdma_device(std::string_view device);

}  // namespace tarn::fabric
