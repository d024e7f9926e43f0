#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/base/units.h"
#include "common/config/load.h"
#include "server/flash/admission/admission.h"

namespace tarn::server {

// Everything that one storage server has to be told. Value type.
struct ServerOptions {
  std::string name;
  std::string listen = "127.0.0.1:0";
  std::string advertise;  // empty: as it listens
  std::vector<std::string> routers;
  std::string domain;  // empty: a failure domain of its own
  uint32_t weight = 100;
  uint64_t dram_bytes = kGiB;
  uint64_t dram_ready_bytes = 0;         // made ready from the start on, in the background
  uint64_t tenant_dram_bytes = 0;        // of one tenant; 0: no cap of its own
  std::vector<std::string> flash_paths;  // drives of the flash tier; empty: none
  uint64_t flash_bytes = 0;              // of each; 0: all of a raw drive
  flash::AdmissionMode flash_admission = flash::AdmissionMode::shadow;
  double flash_writes_per_day = 1;    // of its capacity, that a drive is rated for
  std::string object_url;             // s3://BUCKET/PREFIX; empty: no object tier
  std::string object_endpoint;        // http[s]://HOST[:PORT]; empty: AWS
  std::string object_style = "auto";  // auto, path or host
  uint64_t object_bytes = 100 * kGiB;
  uint64_t object_put_bytes_per_s = 0;  // 0: any
  uint32_t lanes = 0;                   // 0: as many as lane_cpus, or half of the processors
  std::string data_dir;
  std::string secrets_dir;
  bool insecure_loopback = false;
  std::string fabric_device = "lo";  // of ucx; empty: no ucx
  bool trusts_shm = false;           // ucx over shared memory
  std::string local_dir = "auto";    // of the local fabric; empty: none
  std::string metrics_listen;        // empty: none
  Micros spin{50};
  bool is_polling = false;          // lanes never sleep
  std::vector<uint32_t> lane_cpus;  // the processor of each lane; empty: any
};

// The lanes in use: as told, or one for each of lane_cpus, or half of the processors as far as
// there is memory for them.
uint32_t lanes_of(const ServerOptions& options);

// The items of the configuration of tarn-server.
config::Schema server_schema();

// Returns: the options, invalid_argument naming the item.
Result<ServerOptions> server_options(const config::Values& values);

// Returns: ok, invalid_argument naming the item that does not fit.
Status validate(const ServerOptions& options);

}  // namespace tarn::server
