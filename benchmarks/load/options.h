#pragma once

#include <string>

#include "benchmarks/load/target.h"

namespace tarn::load {

// What the command line of tarn-bench may say.
struct Options {
  std::string op = "get";
  Workload workload;
  std::string transport = "tcp";
  double seconds = 10;
  std::string baseline = "none";
  bool has_python = false;  // the same loop from Python runs in between
  std::string json;
  std::string endpoint;
  std::string credentials;
  uint32_t hashes = 8192;
  uint64_t indexed_blocks = 100'000;  // at least; whole chains of hashes
  uint32_t calls = 2000;
  uint32_t rounds = 50;
  uint64_t working_set_mib = 256;
  uint64_t dram_mib = 1024;
  bool is_flash = false;    // blocks are put to flash, and gets are of more than dram holds
  std::string flash_dir;    // of the drive's file; empty: the temporary folder
  bool is_polling = false;  // client and servers never sleep
  std::string lane_cpus;    // of each server that is started
  bool keeps_logs = false;
  std::string worker;  // the hidden role of a process that a failover run starts and kills

  bool is_attached() const { return !endpoint.empty(); }
};

// Returns: true to go on with what `options` says; false to leave with `status`.
bool parse(int argc, char** argv, Options* options, int* status);

// Precondition: a name that parse() has let through.
Transport transport_of(const std::string& name);

}  // namespace tarn::load
