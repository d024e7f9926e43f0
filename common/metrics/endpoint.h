#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/metrics/registry.h"

namespace tarn::metrics {

// All metrics of the registry in Prometheus's text format.
std::string to_text(const Registry& registry);

// Serves a registry at http://ADDRESS/metrics for Prometheus to scrape. It has no authentication
// and shows the names of tenants: bind it to loopback or to a network for operators only.
// Life: serves from open() until it is destroyed, which waits for the requests in progress; the
// registry must outlive it. Runs threads of the HTTP library (kEndpointThreads to answer and a few
// to listen); none of them touches a lane.
// Immutable after open().
class Endpoint {
 public:
  // `address` is HOST:PORT, "[::1]:9464" for IPv6; port 0 takes a free one. Blocks until it
  // listens. Returns: the endpoint, invalid_argument for what is no address, unavailable when the
  // port cannot be had.
  static Result<std::unique_ptr<Endpoint>> open(const std::string& address,
                                                const Registry& registry);
  ~Endpoint();
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  // The port it listens on.
  uint16_t port() const { return x_port; }

 private:
  struct Server;
  Endpoint(std::unique_ptr<Server> server, uint16_t port);

  std::unique_ptr<Server> x_server;
  uint16_t x_port;
};

// Scrapes answered at the same time; a scraper that does not read is cut off after the timeout.
inline constexpr int kEndpointThreads = 2;
inline constexpr int kEndpointTimeoutMs = 5000;

}  // namespace tarn::metrics
