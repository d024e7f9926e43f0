#include "common/fabric/ucx_worker.h"

#include <algorithm>
#include <cstring>

#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/fabric/scatter.h"
#include "common/fabric/ucx_settings.h"

namespace tarn::fabric {
namespace {

// The one active message that we register.
constexpr unsigned kMessageId = 1;
// Rounds of UCX in one progress(): enough to drain a burst, few enough to keep a lane's turn short.
constexpr int kProgressRoundsMax = 32;
// After a close, how long arm() declines to sleep: UCX ends operations in progress calls for which
// it raises no event.
constexpr Millis kCloseSpin{50};
constexpr Millis kShutDownWait{1000};

std::string words(const char* what, ucs_status_t status) {
  return std::string(what) + ": " + ucs_status_string(status);
}

// Where the bytes of a message are, as UCX takes it.
struct Gathered {
  void* buffer = nullptr;
  size_t count = 0;
};

// One part is given as it is, several as a list in `iov`; empty parts are left out.
template <typename Part>
Gathered gather(std::span<const Part> parts, std::vector<ucp_dt_iov_t>* iov,
                ucp_request_param_t* parameters) {
  iov->clear();
  for (const Part& part : parts) {
    // UCX has one type for both directions; it does not write through it in a send.
    if (!part.empty()) iov->push_back({const_cast<std::byte*>(part.data()), part.size()});
  }
  if (iov->empty()) return {};
  if (iov->size() == 1) return {iov->front().buffer, iov->front().length};
  parameters->op_attr_mask |= UCP_OP_ATTR_FIELD_DATATYPE;
  parameters->datatype = ucp_dt_make_iov();
  return {iov->data(), iov->size()};
}

Code code_of(const UcxPeer* peer, ucs_status_t status) {
  if (status == UCS_OK) return Code::ok;
  if (peer != nullptr && peer->closed_by_user) return Code::cancelled;
  if (peer != nullptr && peer->state == UcxPeer::State::lost) return Code::unavailable;
  if (status == UCS_ERR_CANCELED) return Code::cancelled;
  if (status == UCS_ERR_NO_MEMORY || status == UCS_ERR_INVALID_PARAM) return Code::internal;
  return Code::unavailable;
}

}  // namespace

// The payload of the message that is being handled; lives for the handler's call.
class UcxPayload : public Payload {
 public:
  struct Source {
    UcxPeer* peer;
    void* data;
    size_t bytes;
    bool by_rendezvous;
  };
  UcxPayload(UcxWorker& worker, Source source) : x_worker(worker), x_source(source) {}

  uint64_t size() const override { return x_source.bytes; }

  void receive(std::span<const MutableBytes> into, ReceiveDone done) override {
    TARN_CHECK(!x_received);
    TARN_CHECK(total_bytes(into) == x_source.bytes);
    x_received = true;
    if (TARN_FAULT_POINT("fabric.ucx_receive")) {
      x_worker.x_ended.add(std::move(done), Code::unavailable, 0);
      return;
    }
    if (x_source.by_rendezvous && x_source.bytes > 0) {
      x_worker.receive(x_source.peer, x_source.data, into, std::move(done));
      return;
    }
    ScatterWriter writer(into);
    TARN_CHECK(writer.write({static_cast<const std::byte*>(x_source.data), x_source.bytes}));
    x_worker.x_ended.add(std::move(done), Code::ok, writer.crc32c());
  }

 private:
  UcxWorker& x_worker;
  const Source x_source;
  bool x_received = false;
};

Result<std::shared_ptr<UcxWorker>> UcxWorker::open(UcxPort::Options options) {
  TARN_CHECK(options.context != nullptr && options.clock != nullptr);
  std::shared_ptr<UcxWorker> worker(new UcxWorker(std::move(options)));
  TARN_RETURN_IF_ERROR(worker->start());
  return worker;
}

UcxWorker::UcxWorker(UcxPort::Options options)
    : x_options(std::move(options)),
      x_sends(x_options.sends_max, kHeaderBytesMax),
      x_receives(x_options.receives_max, 0) {}

UcxWorker::~UcxWorker() {
  if (x_worker != nullptr) ucp_worker_destroy(x_worker);
}

Status UcxWorker::start() {
  ucp_worker_params_t parameters{};
  parameters.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  parameters.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  ucs_status_t status = ucp_worker_create(context().handle(), &parameters, &x_worker);
  if (status != UCS_OK) {
    x_worker = nullptr;
    return unavailable(words(("UCX has no worker for " + context().transport()).c_str(), status));
  }
  ucp_am_handler_param_t handler{};
  handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB |
                       UCP_AM_HANDLER_PARAM_FIELD_ARG | UCP_AM_HANDLER_PARAM_FIELD_FLAGS;
  handler.id = kMessageId;
  handler.cb = [](void* self, const void* header, size_t header_bytes, void* data, size_t bytes,
                  const ucp_am_recv_param_t* message) {
    return static_cast<UcxWorker*>(self)->on_message(
        {static_cast<const std::byte*>(header), header_bytes}, data, bytes, *message);
  };
  handler.arg = this;
  handler.flags = UCP_AM_FLAG_WHOLE_MSG;
  status = ucp_worker_set_am_recv_handler(x_worker, &handler);
  if (status != UCS_OK) return unavailable(words("UCX takes no message handler", status));
  status = ucp_worker_get_efd(x_worker, &x_event_fd);
  if (status != UCS_OK) return unavailable(words("UCX has no event fd", status));
  return learn_address();
}

Status UcxWorker::learn_address() {
  ucp_worker_attr_t attributes{};
  attributes.field_mask = UCP_WORKER_ATTR_FIELD_ADDRESS | UCP_WORKER_ATTR_FIELD_MAX_AM_HEADER;
  const ucs_status_t status = ucp_worker_query(x_worker, &attributes);
  if (status != UCS_OK) return unavailable(words("UCX tells no address", status));
  const std::string raw(reinterpret_cast<const char*>(attributes.address),
                        attributes.address_length);
  ucp_worker_release_address(x_worker, attributes.address);
  // A longer header aborts the sender's process.
  if (attributes.max_am_header < kHeaderBytesMax) {
    return unavailable("UCX takes headers of " + std::to_string(attributes.max_am_header) +
                       " bytes at most here; raise its segment size");
  }
  if (raw.size() > kUcxAddressBytesMax) return unavailable("the UCX worker address is too long");
  x_address = wrap_ucx_address(context().identity(), raw);
  return Status::ok();
}

UcxPeer* UcxWorker::free_slot() {
  if (!x_free_peers.empty()) {
    UcxPeer* const peer = x_free_peers.back();
    x_free_peers.pop_back();
    return peer;
  }
  if (x_peers.size() == x_options.connections_max) return nullptr;
  x_peers.push_back(std::make_unique<UcxPeer>());
  x_peers.back()->worker = this;
  return x_peers.back().get();
}

Result<UcxWorker::PeerRef> UcxWorker::connect(ConnectOptions options) {
  TARN_CHECK(x_worker != nullptr);
  TARN_ASSIGN_OR_RETURN(const std::string raw,
                        unwrap_ucx_address(context().identity(), options.peer_address));
  UcxPeer* const peer = free_slot();
  if (peer == nullptr) return overloaded("the UCX port has all the connections it may have");
  TARN_CHECK(peer->state == UcxPeer::State::free && peer->in_flight == 0);
  ucp_ep_params_t parameters{};
  parameters.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                          UCP_EP_PARAM_FIELD_ERR_HANDLER;
  parameters.address = reinterpret_cast<const ucp_address_t*>(raw.data());
  parameters.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  parameters.err_handler.cb = &UcxWorker::on_error;
  parameters.err_handler.arg = peer;
  ucp_ep_h endpoint = nullptr;
  const ucs_status_t status = ucp_ep_create(x_worker, &parameters, &endpoint);
  if (status != UCS_OK) {
    x_free_peers.push_back(peer);
    return unavailable(words("UCX cannot reach the peer", status));
  }
  peer->endpoint = endpoint;
  peer->state = UcxPeer::State::open;
  peer->closed_by_user = false;
  peer->endpoint_closed = false;
  peer->close_request = nullptr;
  peer->link = options.link;
  peer->on_lost = std::move(options.on_lost);
  x_by_endpoint[endpoint] = peer;
  return PeerRef{peer, ++peer->generation};
}

bool UcxWorker::is_current(PeerRef ref) const {
  return x_worker != nullptr && ref.peer->generation == ref.generation;
}

Status UcxWorker::send(PeerRef to, Bytes header, std::span<const Bytes> payload, SendDone done) {
  if (header.size() > kHeaderBytesMax) return invalid_argument("the header is too long");
  if (!is_current(to) || to.peer->closed_by_user) return unavailable("the connection is closed");
  if (to.peer->state != UcxPeer::State::open) return unavailable("the peer is gone");
  if (TARN_FAULT_POINT("fabric.ucx_send")) return unavailable("fault point fabric.ucx_send");
  UcxOperation* const operation = x_sends.take();
  if (operation == nullptr) return overloaded("the UCX port has all the sends it may have");
  operation->worker = this;
  operation->sent = std::move(done);
  if (!header.empty()) std::memcpy(operation->header, header.data(), header.size());
  return post(to.peer, operation, payload, header.size());
}

Status UcxWorker::post(UcxPeer* peer, UcxOperation* operation, std::span<const Bytes> payload,
                       size_t header) {
  const uint64_t bytes = total_bytes(payload);
  ucp_request_param_t parameters{};
  parameters.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS;
  parameters.flags =
      UCP_AM_SEND_FLAG_REPLY |
      (bytes >= kRendezvousBytesMin ? UCP_AM_SEND_FLAG_RNDV : UCP_AM_SEND_FLAG_EAGER);
  parameters.cb.send = &UcxWorker::on_sent;
  parameters.user_data = operation;
  const Gathered from = gather(payload, &operation->iov, &parameters);
  operation->peer = peer;
  ++peer->in_flight;
  const ucs_status_ptr_t request = ucp_am_send_nbx(peer->endpoint, kMessageId, operation->header,
                                                   header, from.buffer, from.count, &parameters);
  if (UCS_PTR_IS_ERR(request)) {
    --peer->in_flight;
    x_sends.give_back(operation);
    return unavailable(words("UCX does not send", UCS_PTR_STATUS(request)));
  }
  if (request == nullptr) end(operation, UCS_OK);
  return Status::ok();
}

void UcxWorker::on_sent(void* request, ucs_status_t status, void* operation) {
  auto* const sent = static_cast<UcxOperation*>(operation);
  ucp_request_free(request);
  sent->worker->end(sent, status);
}

ucs_status_t UcxWorker::on_message(Bytes header, void* data, size_t bytes,
                                   const ucp_am_recv_param_t& parameters) {
  if (!x_handler) return UCS_OK;
  UcxPeer* peer = nullptr;
  if ((parameters.recv_attr & UCP_AM_RECV_ATTR_FIELD_REPLY_EP) != 0) {
    const auto found = x_by_endpoint.find(parameters.reply_ep);
    if (found != x_by_endpoint.end()) peer = found->second;
  }
  const bool by_rendezvous = (parameters.recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0;
  UcxPayload payload(*this, {peer, data, bytes, by_rendezvous});
  x_handler(peer == nullptr ? 0 : peer->link, header, payload);
  // Without a receive, UCX_OK tells the sender of a rendezvous that its memory is free again.
  return UCS_OK;
}

void UcxWorker::receive(UcxPeer* peer, void* descriptor, std::span<const MutableBytes> into,
                        ReceiveDone done) {
  UcxOperation* const operation = x_receives.take();
  if (operation == nullptr) {
    x_ended.add(std::move(done), Code::overloaded, 0);
    return;
  }
  operation->worker = this;
  operation->received = std::move(done);
  operation->into.assign(into.begin(), into.end());
  ucp_request_param_t parameters{};
  // Without immediate completion there is one way in which a receive ends.
  parameters.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FLAG_NO_IMM_CMPL;
  parameters.cb.recv_am = &UcxWorker::on_received;
  parameters.user_data = operation;
  const Gathered to = gather(into, &operation->iov, &parameters);
  operation->peer = peer;
  if (peer != nullptr) ++peer->in_flight;
  const ucs_status_ptr_t request =
      ucp_am_recv_data_nbx(x_worker, descriptor, to.buffer, to.count, &parameters);
  if (UCS_PTR_IS_ERR(request)) {
    end(operation, UCS_PTR_STATUS(request));
  } else if (request == nullptr) {
    end(operation, UCS_OK);
  }
}

void UcxWorker::on_received(void* request, ucs_status_t status, size_t, void* operation) {
  auto* const received = static_cast<UcxOperation*>(operation);
  ucp_request_free(request);
  received->worker->end(received, status);
}

// UCX holds nothing of the operation any more.
void UcxWorker::end(UcxOperation* operation, ucs_status_t status) {
  const Code code = code_of(operation->peer, status);
  if (operation->peer != nullptr) {
    TARN_CHECK(operation->peer->in_flight > 0);
    --operation->peer->in_flight;
  }
  if (operation->received) {
    const uint32_t crc = code == Code::ok ? crc32c_of(operation->into) : 0;
    x_ended.add(std::move(operation->received), code, crc);
    x_receives.give_back(operation);
  } else {
    x_ended.add(std::move(operation->sent), code);
    x_sends.give_back(operation);
  }
}

void UcxWorker::on_error(void* argument, ucp_ep_h endpoint, ucs_status_t status) {
  auto* const peer = static_cast<UcxPeer*>(argument);
  if (peer->endpoint != endpoint || peer->state != UcxPeer::State::open) return;
  UcxWorker* const self = peer->worker;
  peer->state = UcxPeer::State::lost;
  peer->why_lost = status;
  ++self->x_lost_total;
  const PeerRef ref{peer, peer->generation};
  self->x_ended.add([self, ref](Status) { self->tell_lost(ref); }, Status::ok());
  self->begin_close(peer);
}

void UcxWorker::tell_lost(PeerRef ref) {
  if (!is_current(ref) || ref.peer->closed_by_user || !ref.peer->on_lost) return;
  // Moved out first: the handler may close the connection, and with it its own storage.
  const LostHandler handler = std::move(ref.peer->on_lost);
  handler(unavailable(words("the UCX peer is gone", ref.peer->why_lost)));
}

void UcxWorker::close(PeerRef which) {
  if (!is_current(which) || which.peer->closed_by_user) return;
  which.peer->closed_by_user = true;
  which.peer->on_lost = nullptr;
  if (which.peer->state == UcxPeer::State::open) begin_close(which.peer);
}

// A lost endpoint is closed at once, too: UCX keeps its operations until then.
void UcxWorker::begin_close(UcxPeer* peer) {
  TARN_CHECK(peer->state == UcxPeer::State::open || peer->state == UcxPeer::State::lost);
  if (peer->state == UcxPeer::State::open) peer->state = UcxPeer::State::closing;
  peer->closed_at = x_options.clock->now();
  x_closing.push_back(peer);
  // UCX may be in the middle of this endpoint's own callback.
  if (!x_in_ucx) close_endpoint(peer);
}

void UcxWorker::close_endpoint(UcxPeer* peer) {
  TARN_CHECK(peer->endpoint != nullptr && !peer->endpoint_closed);
  ucp_request_param_t parameters{};
  parameters.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
  parameters.flags = UCP_EP_CLOSE_FLAG_FORCE;
  x_by_endpoint.erase(peer->endpoint);
  const ucs_status_ptr_t request = ucp_ep_close_nbx(peer->endpoint, &parameters);
  peer->endpoint = nullptr;
  if (UCS_PTR_IS_PTR(request)) {
    peer->close_request = request;
    return;
  }
  if (UCS_PTR_IS_ERR(request))
    log::warn("UCX closes badly: {}", ucs_status_string(UCS_PTR_STATUS(request)));
  peer->endpoint_closed = true;
}

bool UcxWorker::may_free(const UcxPeer& peer) const {
  return peer.endpoint_closed && peer.in_flight == 0 && peer.closed_by_user;
}

void UcxWorker::finish_closing() {
  const Instant now = x_options.clock->now();
  for (UcxPeer* const peer : x_closing) {
    if (peer->endpoint != nullptr) close_endpoint(peer);
    if (peer->close_request != nullptr &&
        ucp_request_check_status(peer->close_request) != UCS_INPROGRESS) {
      ucp_request_free(peer->close_request);
      peer->close_request = nullptr;
      peer->endpoint_closed = true;
    }
    if (peer->in_flight > 0 && now - peer->closed_at > kUcxQuarantineAfter) {
      x_quarantined_total += x_sends.quarantine(peer) + x_receives.quarantine(peer);
    }
  }
  std::erase_if(x_closing, [this](UcxPeer* peer) {
    if (!may_free(*peer)) return false;
    peer->state = UcxPeer::State::free;
    ++peer->generation;
    x_free_peers.push_back(peer);
    return true;
  });
}

size_t UcxWorker::progress() {
  TARN_CHECK(x_worker != nullptr && !x_in_ucx);
  size_t count = 0;
  x_in_ucx = true;
  for (int round = 0; round < kProgressRoundsMax; ++round) {
    const unsigned done = ucp_worker_progress(x_worker);
    if (done == 0) break;
    count += done;
  }
  x_in_ucx = false;
  if (!x_closing.empty()) finish_closing();
  count += x_ended.call_all();
  return count;
}

bool UcxWorker::arm() {
  if (!x_ended.empty()) return false;
  const Instant now = x_options.clock->now();
  for (const UcxPeer* const peer : x_closing) {
    const bool busy = peer->in_flight > 0 || !peer->endpoint_closed;
    if (busy && now - peer->closed_at < kCloseSpin) return false;
  }
  return ucp_worker_arm(x_worker) == UCS_OK;
}

bool UcxWorker::idle() const {
  return x_sends.in_flight() == 0 && x_receives.in_flight() == 0 && x_ended.empty();
}

void UcxWorker::shut_down() {
  TARN_CHECK(x_worker != nullptr);
  x_handler = nullptr;
  for (const auto& peer : x_peers) {
    if (peer->state != UcxPeer::State::free) close({peer.get(), peer->generation});
  }
  const Instant end = x_options.clock->now() + kShutDownWait;
  while ((!x_closing.empty() || !idle()) && x_options.clock->now() < end)
    progress();
  ucp_worker_destroy(x_worker);
  x_worker = nullptr;
}

UcxPort::Counters UcxWorker::counters() const {
  return {x_by_endpoint.size(), x_sends.in_flight(), x_receives.in_flight(), x_quarantined_total,
          x_lost_total};
}

}  // namespace tarn::fabric
