#pragma once

#include <ucp/api/ucp.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "common/fabric/ended.h"
#include "common/fabric/ucx_operation.h"
#include "common/fabric/ucx_peers.h"
#include "common/fabric/ucx_port.h"
#include "common/fabric/ucx_sender.h"

namespace tarn::fabric {

// What a UcxPort is made of; its connections share it. One-thread (the port's).
//
// One worker of UCX receives, and its address is the port's; others send, see UcxSenders. A sender
// makes its endpoint and knocks: it says whose it is. The other port, when it has a connection to
// that one, makes the endpoint for the way back and says welcome over it; messages wait for that.
// So when UCX wires the two endpoints up, with the first message, the way back stands and nothing
// of that waits in a queue: UCX 1.13 aborts a process whose peer dies while it does.
//
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
  Status open_receiver();
  Status set_handlers();

  bool is_current(PeerRef ref) const;
  void post(UcxOperation* operation, std::span<const Bytes> payload);
  Result<ucp_ep_h> create_endpoint(ucp_worker_h worker, const std::string& address, UcxPeer* peer);
  Status begin_outgoing(UcxPeer* peer, uint64_t port_id, const std::string& address);
  void on_knock(Bytes header);
  void let_in(UcxPeer* peer, const std::string& address);
  void answer_knocks();
  void send_notes();
  void on_welcome(UcxSender* sender, Bytes header);
  void send_waiting();
  void lose_unwelcome();
  void free_slot(UcxPeer* peer);
  void lose(UcxPeer* peer, ucs_status_t why);
  void receive(UcxPeer* peer, void* descriptor, std::span<const MutableBytes> into,
               ReceiveDone done);
  void end(UcxOperation* operation, ucs_status_t status);
  uint32_t finish_receive(UcxOperation* operation, Code code);
  void begin_close(UcxPeer* peer);
  enum class Which : uint8_t { failed, all };
  void close_endpoints(UcxPeer* peer, Which which);
  void close_failed();
  void check_closing(UcxPeer* peer);
  void finish_closing();
  void quarantine(const UcxPeer& peer);
  void quiesce();
  bool may_free(const UcxPeer& peer) const;
  void tell_lost(PeerRef ref);
  ucs_status_t on_message(Bytes header, void* data, size_t bytes,
                          const ucp_am_recv_param_t& parameters);

  static void on_sent(void* request, ucs_status_t status, void* operation);
  static void on_received(void* request, ucs_status_t status, size_t bytes, void* operation);
  static void on_error(void* peer, ucp_ep_h endpoint, ucs_status_t status);

  const UcxPort::Options x_options;
  ucp_worker_h x_receiver = nullptr;
  std::unique_ptr<UcxSenders> x_senders;
  std::string x_address;
  std::string x_welcome;  // the port's id, as it goes over the wire
  int x_event_fd = -1;    // an epoll of both workers' descriptors
  Handler x_handler;
  UcxPeers x_peers;
  uint64_t x_port_id = 0;  // random; every message of ours begins with it
  // A knock or a welcome that waits for the endpoint it goes over.
  struct Note {
    PeerRef peer;
    ucp_ep_h via;
    unsigned id;
  };
  std::vector<Note> x_notes;
  struct Unwelcome {
    PeerRef peer;
    Instant give_up;
  };
  std::deque<Unwelcome> x_unwelcome;  // in the order of their ends
  std::vector<UcxPeer*> x_closing;
  std::vector<UcxPeer*> x_ailing;    // open, with an incoming endpoint that failed
  std::vector<UcxPeer*> x_welcomed;  // whose messages need not wait any more
  UcxOperationPool x_sends;
  UcxOperationPool x_receives;
  UcxStaging x_staging;
  EndedCallbacks x_ended;
  size_t x_received_now = 0;  // bytes, in this progress()
  bool x_in_ucx = false;      // inside ucp_worker_progress: connections are closed after it
  uint64_t x_quarantined_total = 0;
  uint64_t x_lost_total = 0;
};

}  // namespace tarn::fabric
