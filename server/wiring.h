#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "server/options.h"

namespace tarn::server {

// A whole storage server within a process: tarn-server holds one, `tarn dev` and tests several.
// Thread-safe. Life: open (serves from then on), drain, close, destroy.
class Server {
 public:
  // Blocks until it listens: a second or so. Returns: the server, invalid_argument naming the
  // option, unavailable (address, certificates), internal (disk).
  static Result<std::unique_ptr<Server>> open(ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Of its gRPC.
  uint16_t port() const;
  const std::string& advertised() const;

  // The epoch that it runs; 0 before the first config.
  uint64_t epoch() const;

  // Asks the routers to give its part to others. Nothing is refused meanwhile.
  void drain();
  // True once the config shows it draining and its session slots have other primaries.
  bool is_drained() const;

  // Not ok once the server can hold no sessions any more (its disk failed an fsync). It has left
  // the cluster then, and is to be ended, so that a start on a sound disk can bring it back.
  Status failure() const;

  // Ends everything in progress and joins all threads. Idempotent.
  void close();

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> x_parts;
};

}  // namespace tarn::server
