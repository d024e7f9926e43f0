#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "router/cluster/server_table.h"

namespace tarn::router {

// What a router is started with.
struct RouterOptions {
  std::string name = "router-1";       // its certificate's: router-NAME.pem
  std::string listen = "127.0.0.1:0";  // HOST:PORT of its gRPC
  std::string authority;               // "etcd:http://HOST:PORT" or "file:FOLDER"
  std::string cluster = "tarn";
  std::string state_dir;           // may vanish at any time between two lives
  std::string secrets_dir;         // may not
  std::string metrics_listen;      // empty: none
  bool insecure_loopback = false;  // plain TCP with tokens, on loopback only
  cluster::Timing timing;
};

// A whole router: in tarn-router, in `tarn dev` and in tests. Keeps nothing that cannot be lost.
// Life: open; close (or the destructor), which waits for calls in progress. Thread-safe.
class Router {
 public:
  // Serves when it returns; without an authority it answers `unavailable` until there is one.
  // Returns: the router; invalid_argument; not_found or permission_denied for the secrets;
  // unavailable for ports and folders that cannot be had.
  static Result<std::unique_ptr<Router>> open(const RouterOptions& options);
  ~Router();

  uint16_t port() const;
  // 0 without metrics_listen.
  uint16_t metrics_port() const;
  void close();

 private:
  struct Parts;
  explicit Router(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> x_parts;
};

}  // namespace tarn::router
