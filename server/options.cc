#include "server/options.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <set>
#include <thread>

#include "common/base/processors.h"
#include "common/ring/config.h"

namespace tarn::server {
namespace {

// A lane needs room for a mixed slab, a class slab and what lies ready.
constexpr uint64_t kLaneBytesMin = 64 * kMiB;

constexpr uint64_t kLaneBytesUsual = 256 * kMiB;

// Four packs.
constexpr uint64_t kObjectBytesMin = 256 * kMiB;

void add_place(config::Schema& schema) {
  schema.add_string("name", "", "The server's name in the cluster; also that of its certificate.");
  schema.add_string("listen", "127.0.0.1:7710", "HOST:PORT of its gRPC; port 0 takes a free one.");
  schema.add_string("advertise", "", "HOST:PORT under which others reach it; empty: as listen.");
  schema.add_list("routers", {}, "HOST:PORT of every router.");
  schema.add_string("domain", "", "Failure domain (rack, host); empty: one of its own.");
  schema.add_uint("weight", ring::kWeightOne, "Share of the data; 100 is one unit.",
                  {0, ring::kWeightMax});
}

void add_object(config::Schema& schema) {
  schema.add_string(
      "object_url", "",
      "s3://BUCKET/PREFIX of the object tier, for blocks that were asked for and that "
      "dram and flash let go; empty: none.");
  schema.add_string("object_endpoint", "",
                    "http[s]://HOST[:PORT] of the object store; empty: AWS in AWS_REGION.");
  schema.add_enum("object_style", "auto", {"auto", "path", "host"},
                  "Where the bucket's name stands: in the path, or before the host's name; auto: "
                  "path where object_endpoint is set.");
  schema.add_bytes("object_bytes", 100 * kGiB, "Of the bucket, how much this server may use.",
                   {kObjectBytesMin, 1ull << 50});
  schema.add_bytes("object_put_bytes_per_s", 64 * kMiB,
                   "Bytes that are written to the bucket in a second at most; 0: no such limit.",
                   {0, 1ull << 40});
}

void add_storage(config::Schema& schema) {
  schema.add_bytes("dram_bytes", kGiB, "Memory for blocks, all lanes together.",
                   {kLaneBytesMin, 1ull << 50});
  schema.add_bytes("dram_ready_bytes", 0,
                   "Of dram_bytes, how much is made ready in the background from the start on; "
                   "the rest waits until it is needed, and first puts may wait for it.");
  schema.add_bytes("tenant_dram_bytes", 0, "Memory that one tenant may take; 0: no such cap.");
  schema.add_list("flash_paths", {},
                  "Drives of the flash tier: files that are made, or raw block devices; empty: no "
                  "flash tier.");
  schema.add_bytes("flash_bytes", 0, "Size of each of flash_paths; 0: all of a raw device.",
                   {0, 1ull << 50});
  schema.add_string("flash_writes_per_day", "1",
                    "What the drives are rated for: how often a day all of their capacity may be "
                    "written (DWPD), as 0.3 or 3.");
  schema.add_enum(
      "flash_admission", "shadow", {"off", "shadow", "enforce"},
      "Whether writes to flash keep to that rating; shadow: they do not, and what would "
      "have been refused is counted.");
  add_object(schema);
  schema.add_uint("lanes", 0,
                  "Threads that serve blocks; 0: as many as lane_cpus, or half of the processors.",
                  {0, ring::kLanesMax});
  schema.add_string("data_dir", "", "Folder of the session logs.");
  schema.add_string("secrets_dir", "", "Folder of certificates and keys, made by `tarn certs`.");
}

void add_fabric(config::Schema& schema) {
  schema.add_bool("insecure_loopback", false, "Plain TCP with tokens, on loopback only.");
  schema.add_string("fabric_device", "lo",
                    "Network interface or RDMA port of UCX (eth1, mlx5_0:1); empty: no UCX. Never "
                    "one that strangers reach.");
  schema.add_enum("ucx_shm", "off", {"off", "trusted"},
                  "Shared memory between processes; trusted: all of them are one trust domain.");
  schema.add_string("local_dir", "auto",
                    "Folder through which processes of this host find the server, for shared "
                    "memory; auto: TARN_LOCAL_DIR, else /run/tarn or /tmp/tarn-UID; empty: none.");
  schema.add_string("metrics_listen", "", "HOST:PORT of the Prometheus endpoint; empty: none.");
  schema.add_uint("spin_us", 50, "How long an idle lane polls before it sleeps.", {0, 1'000'000});
  schema.add_bool("polling", false,
                  "Lanes never sleep: for processors that nothing else uses. Takes the place of "
                  "spin_us.");
  schema.add_list("lane_cpus", {},
                  "Processors, one for each lane, on which the lanes stay, as 2,3; empty: the "
                  "kernel chooses.");
  schema.add_enum("log_level", "info", {"debug", "info", "warning", "error"},
                  "What is logged to stderr.");
}

// Longer than any server lives.
constexpr Micros kSpinForEver = std::chrono::hours(24 * 365 * 100);

constexpr double kWritesPerDayMax = 1000;

Result<double> writes_per_day_of(const std::string& word) {
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  const bool is_whole = error == std::errc() && end == word.data() + word.size();
  if (is_whole && value > 0 && value <= kWritesPerDayMax) return value;
  return invalid_argument("flash_writes_per_day: not a number above 0, as 0.3 or 3: '" + word +
                          "'");
}

flash::AdmissionMode admission_of(const std::string& word) {
  if (word == "off") return flash::AdmissionMode::off;
  return word == "enforce" ? flash::AdmissionMode::enforce : flash::AdmissionMode::shadow;
}

Result<std::vector<uint32_t>> processors_of(const std::vector<std::string>& words) {
  std::vector<uint32_t> processors;
  for (const std::string& word : words) {
    uint32_t processor = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), processor);
    if (error != std::errc() || end != word.data() + word.size()) {
      return invalid_argument("lane_cpus: not the number of a processor: '" + word + "'");
    }
    processors.push_back(processor);
  }
  return processors;
}

Status check_lane_cpus(const ServerOptions& options) {
  const std::vector<uint32_t>& wanted = options.lane_cpus;
  const uint32_t lanes = lanes_of(options);
  if (wanted.size() != lanes) {
    return invalid_argument("lane_cpus: " + std::to_string(wanted.size()) + " processors for " +
                            std::to_string(lanes) + " lanes; name one for each");
  }
  if (std::set<uint32_t>(wanted.begin(), wanted.end()).size() != wanted.size()) {
    return invalid_argument("lane_cpus: two lanes on one processor take turns; name each once");
  }
  const std::vector<uint32_t> allowed = allowed_processors();
  for (const uint32_t processor : wanted) {
    if (std::find(allowed.begin(), allowed.end(), processor) != allowed.end()) continue;
    return invalid_argument("lane_cpus: this process may not run on processor " +
                            std::to_string(processor) + " (taskset -p shows where it may)");
  }
  return Status::ok();
}

Status check_polling(const ServerOptions& options) {
  const size_t processors = allowed_processors().size();
  const uint32_t lanes = lanes_of(options);
  if (lanes < processors || processors == 0) return Status::ok();
  return invalid_argument("polling: " + std::to_string(lanes) +
                          " lanes that never sleep would take all " + std::to_string(processors) +
                          " processors; leave one for everything else");
}

}  // namespace

uint32_t lanes_of(const ServerOptions& options) {
  if (options.lanes != 0) return options.lanes;
  if (!options.lane_cpus.empty()) return static_cast<uint32_t>(options.lane_cpus.size());
  const uint64_t processors = std::thread::hardware_concurrency();
  return static_cast<uint32_t>(std::clamp<uint64_t>(
      processors / 2, 1, std::max<uint64_t>(1, options.dram_bytes / kLaneBytesUsual)));
}

config::Schema server_schema() {
  config::Schema schema("tarn-server", "A storage server of Tarn: keeps KV blocks and sessions.");
  add_place(schema);
  add_storage(schema);
  add_fabric(schema);
  return schema;
}

Result<ServerOptions> server_options(const config::Values& values) {
  ServerOptions options;
  options.name = values.get_string("name");
  options.listen = values.get_string("listen");
  options.advertise = values.get_string("advertise");
  options.routers = values.get_list("routers");
  options.domain = values.get_string("domain");
  options.weight = static_cast<uint32_t>(values.get_uint("weight"));
  options.dram_bytes = values.get_bytes("dram_bytes");
  options.dram_ready_bytes = values.get_bytes("dram_ready_bytes");
  options.tenant_dram_bytes = values.get_bytes("tenant_dram_bytes");
  options.flash_paths = values.get_list("flash_paths");
  options.flash_bytes = values.get_bytes("flash_bytes");
  TARN_ASSIGN_OR_RETURN(options.flash_writes_per_day,
                        writes_per_day_of(values.get_string("flash_writes_per_day")));
  options.flash_admission = admission_of(values.get_enum("flash_admission"));
  options.object_url = values.get_string("object_url");
  options.object_endpoint = values.get_string("object_endpoint");
  options.object_style = values.get_enum("object_style");
  options.object_bytes = values.get_bytes("object_bytes");
  options.object_put_bytes_per_s = values.get_bytes("object_put_bytes_per_s");
  options.lanes = static_cast<uint32_t>(values.get_uint("lanes"));
  options.data_dir = values.get_string("data_dir");
  options.secrets_dir = values.get_string("secrets_dir");
  options.insecure_loopback = values.get_bool("insecure_loopback");
  options.fabric_device = values.get_string("fabric_device");
  options.local_dir = values.get_string("local_dir");
  options.trusts_shm = values.get_enum("ucx_shm") == "trusted";
  options.metrics_listen = values.get_string("metrics_listen");
  options.spin = Micros(static_cast<int64_t>(values.get_uint("spin_us")));
  options.is_polling = values.get_bool("polling");
  if (options.is_polling) options.spin = kSpinForEver;
  TARN_ASSIGN_OR_RETURN(options.lane_cpus, processors_of(values.get_list("lane_cpus")));
  options.lanes = lanes_of(options);
  TARN_RETURN_IF_ERROR(validate(options));
  return options;
}

Status validate(const ServerOptions& options) {
  if (options.name.empty()) return invalid_argument("name: a server needs one (--name s1)");
  if (options.data_dir.empty()) {
    return invalid_argument("data_dir: a server needs a folder for its logs (--data-dir)");
  }
  if (options.secrets_dir.empty()) {
    return invalid_argument(
        "secrets_dir: a server needs its certificate (--secrets-dir; `tarn certs` makes one)");
  }
  const uint64_t lanes = lanes_of(options);
  if (options.dram_ready_bytes > options.dram_bytes)
    return invalid_argument("dram_ready_bytes: more than dram_bytes");
  if (options.dram_bytes / lanes < kLaneBytesMin) {
    return invalid_argument("dram_bytes: at least 64 MiB for each of the " + std::to_string(lanes) +
                            " lanes");
  }
  const std::set<std::string> drives(options.flash_paths.begin(), options.flash_paths.end());
  if (drives.size() != options.flash_paths.size() || drives.contains(""))
    return invalid_argument("flash_paths: a drive is named twice, or has no name");
  if (!options.lane_cpus.empty()) TARN_RETURN_IF_ERROR(check_lane_cpus(options));
  return options.is_polling ? check_polling(options) : Status::ok();
}

}  // namespace tarn::server
