#pragma once

#include <ucp/api/ucp.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/fabric/fabric.h"

namespace tarn::fabric {

// Senders of one port; and ports that one sender has been used for before it is left alone.
inline constexpr size_t kUcxSendersMax = 64;
inline constexpr size_t kUcxSenderPortsMax = 65536;
inline constexpr Millis kUcxSenderRest{1000};

// The active message by which a port lets a sender in.
inline constexpr unsigned kUcxWelcomeId = 3;

class UcxSenders;

// A UCX worker that makes endpoints to other ports and receives nothing but their welcome: at most
// one to each port, ever. One-thread (the port's). Life: made when a port is met again, gone with
// its last endpoint.
struct UcxSender {
  ucp_worker_h worker = nullptr;
  const UcxSenders* senders = nullptr;
  // What it says first over each endpoint: the port's id, then its own address.
  std::string knock;
  int event_fd = -1;
  std::unordered_set<uint64_t> ports;  // used for
  size_t endpoints = 0;                // not yet closed
  Instant unused_since;
};

// The senders of one port. UCX pairs the endpoints that two workers make to each other by counting
// them on both sides, and 1.13 aborts the process where the counts go apart, as after a connection
// that only one side used. With a pair of workers used once, both counts are zero. One-thread.
class UcxSenders {
 public:
  struct Owner {
    ucp_context_h context = nullptr;
    int epoll_fd = -1;     // senders' descriptors are added to it
    uint64_t port_id = 0;  // of the port
    // Some port lets one in, which says so in the header; in a callback of UCX's.
    std::function<void(UcxSender*, Bytes header)> on_welcome;
  };
  explicit UcxSenders(Owner owner) : x_owner(std::move(owner)) {}
  ~UcxSenders();
  UcxSenders(const UcxSenders&) = delete;
  UcxSenders& operator=(const UcxSenders&) = delete;

  // A sender that was never used for `port_id`, marked as used for it. Returns: the sender,
  // unavailable (UCX gives no worker, or kUcxSendersMax are in use).
  Result<UcxSender*> pick(uint64_t port_id);

  unsigned progress();
  bool arm();
  // Destroys those, but the first, whose last endpoint went more than kUcxSenderRest ago: UCX has
  // things to finish, and the other side to hear of it. Not from inside UCX's callbacks.
  void drop_unused(Instant now);
  bool may_drop() const { return x_senders.size() > 1; }
  void destroy_all();

 private:
  Result<UcxSender*> make();
  Status expect_welcome(UcxSender& sender) const;
  void destroy(UcxSender& sender);

  const Owner x_owner;
  std::vector<std::unique_ptr<UcxSender>> x_senders;
};

// The address of `worker` as UCX gives it, and the longest header that it sends.
struct UcxWorkerFacts {
  std::string address;
  size_t header_bytes_max = 0;
};
Result<UcxWorkerFacts> query_worker(ucp_worker_h worker);

// A new worker of `context`, for one thread.
Result<ucp_worker_h> create_worker(ucp_context_h context);

// Adds the worker's event descriptor to an epoll; returns it.
Result<int> watch_worker(ucp_worker_h worker, int epoll_fd);

}  // namespace tarn::fabric
