#pragma once

#include <map>
#include <memory>
#include <string>

#include "common/base/mutex.h"
#include "common/fabric/fabric.h"
#include "common/fabric/ucx_address.h"

struct ucp_context;
struct ucp_mem;

namespace tarn::fabric {

// A UCX context: the devices of one kind, and the memory registered with them. Shared by the ports
// of several threads, so that memory is registered once. Thread-safe. Life: open, ports, destroy
// after the last port.
class UcxContext {
 public:
  struct Options {
    Kind kind = Kind::ucx;      // or ucx_shm
    std::string device = "lo";  // for ucx: network interface or RDMA port ("mlx5_0:1") to bind to
  };

  // Returns: ok, invalid_argument (not a kind of UCX), unavailable (no such device or transport).
  static Result<std::shared_ptr<UcxContext>> open(Options options);
  ~UcxContext();
  UcxContext(const UcxContext&) = delete;
  UcxContext& operator=(const UcxContext&) = delete;

  Kind kind() const { return x_options.kind; }
  // "tcp over lo"
  std::string transport() const;

  // Whether UCX makes no more than the connection of an endpoint until the first message that asks
  // for an answer, as over TCP. Elsewhere a message may have to wait for the wire-up.
  bool wires_up_late() const;
  const UcxIdentity& identity() const { return x_identity; }
  ucp_context* handle() const { return x_handle; }

  // Returns: ok, unavailable (the device refuses).
  Status register_memory(MutableBytes memory);

  // Registers memory until the answer has gone, which must be before the memory goes; it keeps the
  // context. Runs may overlap. Returns: ok, invalid_argument (empty), unavailable (the device
  // refuses).
  static Result<std::shared_ptr<const void>> hold_memory(std::shared_ptr<UcxContext> context,
                                                         MutableBytes memory);

  // The memory is about to be unmapped; nothing of it is in flight. No effect on what was not
  // registered, as a whole, before.
  void forget_memory(MutableBytes memory);

 private:
  UcxContext(Options options, ucp_context* handle);

  const Options x_options;
  const UcxIdentity x_identity;
  ucp_context* const x_handle;
  Mutex x_mutex;
  // By address.
  std::map<const std::byte*, ucp_mem*> x_registered TARN_GUARDED_BY(x_mutex);
};

}  // namespace tarn::fabric
