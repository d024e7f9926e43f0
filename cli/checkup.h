#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

// What `tarn doctor` looks at. Each check_ function asks the machine and never fails: that it could
// not look is a finding too. Each judge_ function is pure.
namespace tarn::cli {

enum class Health : uint8_t { ok, warning, problem };

std::string_view health_name(Health health);

// One line of the report. A plain value.
struct Finding {
  std::string name;
  Health health = Health::ok;
  std::string what;    // what was seen
  std::string advice;  // what to do; empty when nothing is to be done
};

using Findings = std::vector<Finding>;

// The machine.
Finding judge_memlock(uint64_t limit_bytes, uint64_t wanted_bytes);
Finding judge_open_files(uint64_t limit);
Finding judge_hugepages(uint64_t free_pages, uint64_t page_bytes, uint64_t wanted_bytes);
Finding judge_memory(uint64_t available_bytes, uint64_t wanted_bytes);
Finding judge_shared_memory(uint64_t total_bytes, uint64_t free_bytes);
Finding judge_clock(int64_t unix_ms, bool is_synchronised);
// What io_uring_setup said: 0 or an errno.
Finding judge_io_uring(int error);
Findings check_machine(uint64_t dram_bytes);

// The number after "Name:" in /proc/meminfo's form; 0 when there is none. kB are made bytes.
uint64_t meminfo_value(std::string_view text, std::string_view name);

// The network. A device is an interface ("eth0") or an RDMA port ("mlx5_0:1").
Findings check_ucx();
// "tcp/eth0, self/memory" from the output of `ucx_info -d`.
std::vector<std::string> ucx_transports(std::string_view ucx_info);
// Whether `address` is free to listen on, or who may be there.
Finding check_port(const std::string& address);
Finding check_etcd(const std::string& endpoint);

// The credentials. `folder` is a secrets folder or that of a client.
Finding judge_days_left(const std::string& file, int64_t days);
Findings check_credentials(const std::string& folder);

}  // namespace tarn::cli
