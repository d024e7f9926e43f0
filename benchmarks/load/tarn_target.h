#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "benchmarks/load/target.h"

namespace tarn::load {

struct TarnTargetOptions {
  ClientOptions client;
  Workload workload;
  uint64_t working_set_bytes = uint64_t{256} << 20;
  uint32_t copies = 1;
  bool is_flash = false;       // puts are of class flash
  uint64_t fill_bytes = 0;     // put before anything is timed, so that memory is full and evicts
  std::vector<pid_t> servers;  // whose CPU time counts too
};

// Tarn, asked through the public header: `inflight` transfers of one block each, memory of the
// SDK's that rotates through more than any cache holds. Gets go round blocks that were put before,
// in chains; puts are of new chains of one block. One-thread.
class TarnTarget : public Target {
 public:
  // Connects; for gets puts the working set and reads a part of it back, byte for byte; for puts
  // fills the servers.
  static Expected<std::unique_ptr<TarnTarget>> open(const TarnTargetOptions& options);

  std::string name() const override { return "tarn"; }
  // Ends with an Error when nothing succeeded, or when a block has other bytes than it was put
  // with: the last ones of each run are looked at.
  Expected<report::Slice> run(int64_t millis) override;

  // What the next run does. Precondition: neither this nor what it was opened for is a put.
  void set_op(Op op) { x_op = op; }

  // As the SDK says: "ucx: tcp over lo".
  std::string transport() const;

 private:
  struct Flight {
    std::optional<Transfer> transfer;
    int64_t started_ns = 0;
    uint64_t number = 0;  // of the block
    uint64_t place = 0;   // of the memory
  };

  TarnTarget(TarnTargetOptions options, Client client, Space space, Buffer buffer);

  Expected<Done> fill_servers();
  Expected<Done> put_working_set();
  Expected<Done> put_batch(uint64_t first, uint64_t count);
  Expected<Done> check_sample();
  Expected<Done> get_and_check(uint64_t number);
  std::span<std::byte> memory(uint64_t place) const;
  uint64_t places() const { return x_buffer.size() / x_options.workload.block_bytes; }
  Slice slice(uint64_t place) const;
  BlockHash name_of(uint64_t number) const;

  void start(Flight& flight);
  void end(Flight& flight);
  // What became of a transfer that has ended; a view has been verified where that is the op.
  BlockOutcome outcome_of(Flight& flight) const;
  void go_round(int64_t end_ns);
  Expected<Done> check_last();
  Expected<Done> check_view(uint64_t number);
  Expected<Done> check_put(const Flight& flight);
  int64_t cpu_ns() const;

  const TarnTargetOptions x_options;
  Client x_client;
  Space x_space;
  Buffer x_buffer;
  const uint64_t x_run;
  const uint64_t x_blocks;  // of the working set
  Op x_op;
  uint64_t x_next_block = 0;
  uint64_t x_next_place = 0;
  std::vector<Flight> x_flights;
  report::Slice x_slice;
  std::string x_first_error;
};

}  // namespace tarn::load
