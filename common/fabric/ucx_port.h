#pragma once

#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/fabric/fabric.h"
#include "common/fabric/ucx_context.h"

namespace tarn::fabric {

class UcxWorker;

// An operation whose connection was closed and whose callback has not come within this time is
// counted as quarantined and told in the log; its memory stays taken until the callback comes.
inline constexpr Millis kUcxQuarantineAfter{1000};

// A worker of UCX, TCP or RDMA or shared memory, that speaks active messages alone. One-thread.
// Life: open, set_handler, connect..., progress..., destroy when idle() says so. Both sides connect
// to each other: a message is told by the connection that the receiver made. One from a port that
// it never connected to has link 0, and its large payload cannot be received (a close could not end
// that). UCX notices a dead peer, never a stopped one: deadlines are the caller's, close() is their
// tool. Over shared memory a living peer is not told of a close, and one that is killed just while
// it writes to this port's queue blocks the port for all; only deadlines end that.
class UcxPort : public Port {
 public:
  struct Options {
    std::shared_ptr<UcxContext> context;
    // Operations in flight; one more send is overloaded, one more receive ends with overloaded.
    size_t sends_max = 1024;
    size_t receives_max = 1024;
    size_t connections_max = 4096;
    const Clock* clock = &system_clock();
  };

  struct Counters {
    size_t connections = 0;
    size_t sends_in_flight = 0;
    size_t receives_in_flight = 0;
    uint64_t quarantined_total = 0;  // operations, see kUcxQuarantineAfter
    uint64_t lost_total = 0;         // connections
  };

  // Returns: ok, unavailable (UCX gives no worker).
  static Result<std::unique_ptr<UcxPort>> open(Options options);
  // Force-closes what is open and waits for UCX to let go of it, at most a second.
  ~UcxPort() override;

  Kind kind() const override;
  std::string address() const override;
  std::string transport() const override;
  void set_handler(Handler handler) override;
  // Returns: ok, invalid_argument (malformed address), unsupported (other version or settings),
  // unavailable (UCX cannot reach it), overloaded (connections_max).
  Result<std::unique_ptr<Connection>> connect(ConnectOptions options) override;
  size_t progress() override;
  bool arm() override;
  int event_fd() const override;
  bool idle() const override;
  uint64_t quarantined_total() const override { return counters().quarantined_total; }
  Status register_memory(MutableBytes memory) override;

  Counters counters() const;

 private:
  explicit UcxPort(std::shared_ptr<UcxWorker> worker) : x_worker(std::move(worker)) {}
  // Shared with the connections, which may outlive the port.
  std::shared_ptr<UcxWorker> x_worker;
};

}  // namespace tarn::fabric
