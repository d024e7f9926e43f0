#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace tarn::cli {

// A storage server as a router sees it.
struct ServerReport {
  uint32_t id = 0;
  std::string name;
  std::string endpoint;
  std::string domain;
  std::string state;
  uint32_t silent_ms = 0;
  uint64_t dram_bytes = 0;
  uint64_t dram_used_bytes = 0;
  uint64_t stored_payload_bytes = 0;
  uint64_t blocks = 0;
  bool index_synced = false;
  uint32_t slots_primary = 0;
  uint32_t slots_synced = 0;
};

struct WorkerReport {
  std::string name;
  std::string endpoint;
  std::string host;
  uint32_t capacity = 0;
  uint32_t running = 0;
  uint32_t queued = 0;
  bool is_draining = false;
  bool is_alive = false;
  uint32_t silent_ms = 0;
};

// What one router says of the cluster and of itself.
struct RouterReport {
  std::string endpoint;  // as it was asked for
  std::string name;
  uint64_t epoch = 0;
  bool is_controller = false;
  std::string authority;
  bool authority_reachable = false;
  std::string pending_change;  // waits for the authority, in words
  uint64_t indexed_blocks = 0;
  bool index_synced = false;
  uint32_t slots_waiting = 0;
  uint32_t slots_lost = 0;
  std::vector<ServerReport> servers;
  std::vector<WorkerReport> workers;
};

// A session slot as the config of a router has it.
struct SlotReport {
  std::string state;  // "unused", "ok", "waiting", "lost"
  std::string primary;
  std::vector<std::string> synced;
  std::vector<std::string> learners;
};

// What the caller shows. Either certificate and key, or the token.
struct RouterCredentials {
  std::string ca_pem;
  std::string certificate_pem;
  std::string key_pem;
  std::string token;
};

// The operator's line to one router. Thread-safe. Each call blocks for the timeout at most.
class AdminClient {
 public:
  // Endpoint: HOST:PORT, with "plain://" before it for a router with --insecure-loopback. Reaches
  // nobody yet. Returns: the client; invalid_argument.
  static Result<AdminClient> open(const std::string& endpoint, const RouterCredentials& credentials,
                                  Millis timeout);
  AdminClient(AdminClient&& other) noexcept;
  ~AdminClient();

  // Each returns: ok; unavailable or deadline_exceeded naming the router; unauthenticated;
  // permission_denied; not_found for a name that is none.
  Result<RouterReport> status();
  Status drain_server(const std::string& name);
  Status drain_worker(const std::string& name);
  // The tenant's new revocation number.
  Result<uint64_t> revoke_tenant(const std::string& tenant);
  // All session slots, by their numbers.
  Result<std::vector<SlotReport>> slots();
  // Gives up their sessions: all of these slots or none. Returns: the epoch in which they begin
  // anew; conflict for a slot that is not lost.
  Result<uint64_t> abandon_slots(const std::vector<uint32_t>& slots, bool even_waiting);

 private:
  struct State;
  explicit AdminClient(std::unique_ptr<State> state);

  std::unique_ptr<State> x_state;
};

}  // namespace tarn::cli
