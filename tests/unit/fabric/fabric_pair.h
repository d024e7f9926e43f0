#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/fabric/fabric.h"

namespace tarn::fabric {

// Two ports of one kind, connected both ways, for tests that hold for every fabric. Derived classes
// open the ports and know what their kind cannot do.
class FabricPair {
 public:
  virtual ~FabricPair() = default;

  Port& a() { return *x_a; }
  Port& b() { return *x_b; }
  bool has_b() const { return x_b != nullptr; }

  // Connects one port to the other; `options` brings link and on_lost.
  virtual std::unique_ptr<Connection> connect_a(ConnectOptions options);
  virtual std::unique_ptr<Connection> connect_b(ConnectOptions options);

  // Ends a port as a dying process would.
  virtual void kill_b() { x_b.reset(); }

  // Drives both ports until `condition` holds; false after ten seconds.
  bool until(const std::function<bool()>& condition);

 protected:
  std::unique_ptr<Port> x_a;
  std::unique_ptr<Port> x_b;
};

struct FabricPairFactory {
  std::string name;
  std::function<std::unique_ptr<FabricPair>()> make;
};

// What the *_pair.cc files of this folder bring.
std::unique_ptr<FabricPair> make_loop_pair();
std::unique_ptr<FabricPair> make_ucx_pair();
std::unique_ptr<FabricPair> make_ucx_shm_pair();
std::unique_ptr<FabricPair> make_grpc_pair();
std::unique_ptr<FabricPair> make_local_pair();

std::vector<std::byte> pattern(size_t bytes, uint64_t seed);

}  // namespace tarn::fabric
