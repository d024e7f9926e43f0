#pragma once

#include <memory>
#include <string>

#include "common/fabric/fabric.h"
#include "common/fabric/local_memory.h"
#include "common/fabric/local_session.h"
#include "common/fabric/local_socket.h"

namespace tarn::fabric {

class LocalCore;

// The fabric between processes of one host that share a folder (docs/LOCAL.md): rings in sealed
// shared memory carry the messages; payloads in memory that the other side may map are read where
// they lie, in one copy, and the others go through a bounce area. A server's port listens in the
// folder; a client's connects. A client's address is a secret: it names the connection that was
// agreed on over gRPC. One-thread. Life: open, set_handler, progress..., destroy, which calls what
// is in flight.
class LocalPort : public Port {
 public:
  struct Options {
    LocalFolder folder;
    bool is_server = false;
    // What may be shown instead of copied; null for nothing.
    std::shared_ptr<LocalMemory> memory = nullptr;
    LocalLimits limits = {};
  };
  // Returns: ok, unavailable, invalid_argument (the folder's path is too long).
  static Result<std::unique_ptr<LocalPort>> open(Options options);
  ~LocalPort() override;

  Kind kind() const override { return Kind::local; }
  std::string address() const override;
  std::string transport() const override;
  void set_handler(Handler handler) override;
  // Whom to ask when a peer views what it was shown: the send ends then. Without one it goes on
  // until the end of the view.
  void set_keeper(Keeper keeper);
  // Returns: ok, invalid_argument, unavailable (nobody listens there).
  Result<std::unique_ptr<Connection>> connect(ConnectOptions options) override;
  // A server's way to a client that may read all memory of the domain, so that it is shown what
  // lies there. What it holds counts as its owner's. Returns: as connect.
  Result<std::unique_ptr<Connection>> connect_showing(ConnectOptions options, const Domain& may_map,
                                                      const Domain& owner = {});
  size_t progress() override;
  bool arm() override;
  int event_fd() const override;
  bool idle() const override;

  const LocalCounters& counters() const;

 private:
  explicit LocalPort(std::shared_ptr<LocalCore> core) : x_core(std::move(core)) {}
  // Shared with the connections, which may outlive the port.
  std::shared_ptr<LocalCore> x_core;
};

// The version that the local fabrics of both sides must have.
std::string local_version();

// Says of two processes that they run on one kernel.
std::string local_host();

}  // namespace tarn::fabric
