#pragma once

#include <ucp/api/ucp.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/fabric/ended.h"
#include "common/fabric/ucx_operation.h"
#include "common/fabric/ucx_port.h"

namespace tarn::fabric {

// One connection of a worker, in a slot that is used again once UCX has let go of everything.
struct UcxPeer {
  enum class State : uint8_t { free, open, lost, closing };

  UcxWorker* worker = nullptr;
  ucp_ep_h endpoint = nullptr;
  State state = State::free;
  bool closed_by_user = false;
  // Fences connection objects off a slot that was used again.
  uint64_t generation = 0;
  uint64_t link = 0;
  LostHandler on_lost;
  ucs_status_t why_lost = UCS_OK;
  size_t in_flight = 0;           // operations
  void* close_request = nullptr;  // while UCX closes the endpoint
  bool endpoint_closed = false;
  Instant closed_at;
};

// What a UcxPort is made of; its connections share it. One-thread (the port's).
// Invariant: memory of a caller is in UCX's hands exactly while its operation is in the pool's use.
class UcxWorker {
 public:
  static Result<std::shared_ptr<UcxWorker>> open(UcxPort::Options options);
  ~UcxWorker();
  UcxWorker(const UcxWorker&) = delete;
  UcxWorker& operator=(const UcxWorker&) = delete;

  struct PeerRef {
    UcxPeer* peer;
    uint64_t generation;
  };
  Result<PeerRef> connect(ConnectOptions options);
  Status send(PeerRef to, Bytes header, std::span<const Bytes> payload, SendDone done);
  void close(PeerRef which);

  void set_handler(Handler handler) { x_handler = std::move(handler); }
  size_t progress();
  bool arm();
  bool idle() const;
  // Closes everything and destroys the UCX worker; connections refuse from now on.
  void shut_down();

  const UcxContext& context() const { return *x_options.context; }
  UcxContext& context() { return *x_options.context; }
  const std::string& address() const { return x_address; }
  int event_fd() const { return x_event_fd; }
  UcxPort::Counters counters() const;

 private:
  friend class UcxPayload;

  explicit UcxWorker(UcxPort::Options options);
  Status start();
  Status learn_address();

  UcxPeer* free_slot();
  bool is_current(PeerRef ref) const;
  Status post(UcxPeer* peer, UcxOperation* operation, std::span<const Bytes> payload,
              size_t header);
  void receive(UcxPeer* peer, void* descriptor, std::span<const MutableBytes> into,
               ReceiveDone done);
  void end(UcxOperation* operation, ucs_status_t status);
  void begin_close(UcxPeer* peer);
  void close_endpoint(UcxPeer* peer);
  void finish_closing();
  bool may_free(const UcxPeer& peer) const;
  void tell_lost(PeerRef ref);
  ucs_status_t on_message(Bytes header, void* data, size_t bytes,
                          const ucp_am_recv_param_t& parameters);

  static void on_sent(void* request, ucs_status_t status, void* operation);
  static void on_received(void* request, ucs_status_t status, size_t bytes, void* operation);
  static void on_error(void* peer, ucp_ep_h endpoint, ucs_status_t status);

  const UcxPort::Options x_options;
  ucp_worker_h x_worker = nullptr;
  std::string x_address;
  int x_event_fd = -1;
  Handler x_handler;
  std::vector<std::unique_ptr<UcxPeer>> x_peers;
  std::vector<UcxPeer*> x_free_peers;
  std::unordered_map<ucp_ep_h, UcxPeer*> x_by_endpoint;
  std::vector<UcxPeer*> x_closing;
  UcxOperationPool x_sends;
  UcxOperationPool x_receives;
  EndedCallbacks x_ended;
  bool x_in_ucx = false;  // inside ucp_worker_progress: endpoints are closed after it
  uint64_t x_quarantined_total = 0;
  uint64_t x_lost_total = 0;
};

}  // namespace tarn::fabric
