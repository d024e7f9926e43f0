#include "common/fabric/ucx_worker.h"

#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/fabric/scatter.h"
#include "common/fabric/ucx_gather.h"
#include "common/fabric/ucx_settings.h"

namespace tarn::fabric {
namespace {

// The active messages that we register.
constexpr unsigned kMessageId = 1;
constexpr unsigned kKnockId = 2;
// Rounds of UCX in one progress(): enough to drain a burst, few enough to keep a lane's turn short.
constexpr int kProgressRoundsMax = 32;
// Nor does it go on once so many bytes have been taken in and checked: whoever waits for them asks
// for the next ones, or answers, while the other side still has something to send.
constexpr size_t kReceivedPerProgress = 128 * 1024;
// After a close, how long arm() declines to sleep: UCX ends operations in progress calls for which
// it raises no event.
constexpr Millis kCloseSpin{50};
constexpr Millis kShutDownWait{1000};
constexpr int kQuietRounds = 200;
// What a message begins with: the id of the sender's port.
constexpr size_t kPrefixBytes = sizeof(uint64_t);

// Sends what needs no way back. `at_once`: only where the endpoint is connected, else
// UCS_ERR_NO_RESOURCE: a message that UCX puts by makes it wire up first.
ucs_status_t send_note(ucp_ep_h endpoint, unsigned id, const std::string& header, bool at_once) {
  ucp_request_param_t parameters{};
  parameters.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_FLAGS;
  if (at_once) parameters.op_attr_mask |= UCP_OP_ATTR_FLAG_FORCE_IMM_CMPL;
  parameters.flags = UCP_AM_SEND_FLAG_EAGER;
  parameters.cb.send = [](void* request, ucs_status_t, void*) { ucp_request_free(request); };
  const ucs_status_ptr_t request =
      ucp_am_send_nbx(endpoint, id, header.data(), header.size(), nullptr, 0, &parameters);
  return UCS_PTR_IS_ERR(request) ? UCS_PTR_STATUS(request) : UCS_OK;
}

std::string words(const char* what, ucs_status_t status) {
  return std::string(what) + ": " + ucs_status_string(status);
}

Code code_of(const UcxPeer& peer, ucs_status_t status) {
  if (status == UCS_OK) return Code::ok;
  if (peer.closed_by_user) return Code::cancelled;
  if (peer.state == UcxPeer::State::lost) return Code::unavailable;
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
      // Nobody could end it by a close.
      if (x_source.peer == nullptr) {
        x_worker.x_ended.add(std::move(done), Code::unavailable, 0);
        return;
      }
      x_worker.receive(x_source.peer, x_source.data, into, std::move(done));
      return;
    }
    ScatterWriter writer(into);
    TARN_CHECK(writer.write({static_cast<const std::byte*>(x_source.data), x_source.bytes}));
    x_worker.x_received_now += x_source.bytes;
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
      x_peers(this, x_options.connections_max),
      x_sends(x_options.sends_max, kPrefixBytes + kHeaderBytesMax),
      x_receives(x_options.receives_max, 0) {}

UcxWorker::~UcxWorker() {
  x_senders.reset();
  if (x_receiver != nullptr) ucp_worker_destroy(x_receiver);
  if (x_event_fd >= 0) ::close(x_event_fd);
}

Status UcxWorker::start() {
  if (getrandom(&x_port_id, sizeof(x_port_id), 0) != sizeof(x_port_id)) {
    return unavailable("no random number for the id of a UCX port");
  }
  x_event_fd = epoll_create1(EPOLL_CLOEXEC);
  if (x_event_fd < 0) return unavailable("no epoll for a UCX port");
  x_senders = std::make_unique<UcxSenders>(
      UcxSenders::Owner{context().handle(), x_event_fd, x_port_id,
                        [this](UcxSender* sender, Bytes header) { on_welcome(sender, header); }});
  TARN_RETURN_IF_ERROR(open_receiver());
  return set_handlers();
}

Status UcxWorker::open_receiver() {
  TARN_ASSIGN_OR_RETURN(x_receiver, create_worker(context().handle()));
  TARN_ASSIGN_OR_RETURN(const UcxWorkerFacts facts, query_worker(x_receiver));
  TARN_RETURN_IF_ERROR(watch_worker(x_receiver, x_event_fd).status());
  // A longer header aborts the sender's process.
  if (facts.header_bytes_max < kPrefixBytes + kHeaderBytesMax) {
    return unavailable("UCX takes headers of " + std::to_string(facts.header_bytes_max) +
                       " bytes at most here; raise its segment size");
  }
  if (facts.address.size() > kUcxWorkerAddressBytesMax) {
    return unavailable("the UCX worker address is too long");
  }
  x_welcome.assign(reinterpret_cast<const char*>(&x_port_id), kPrefixBytes);
  x_address = wrap_ucx_address(context().identity(), x_welcome + facts.address);
  return Status::ok();
}

Status UcxWorker::set_handlers() {
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
  ucs_status_t status = ucp_worker_set_am_recv_handler(x_receiver, &handler);
  if (status != UCS_OK) return unavailable(words("UCX takes no message handler", status));
  handler.id = kKnockId;
  handler.cb = [](void* self, const void* header, size_t header_bytes, void*, size_t,
                  const ucp_am_recv_param_t*) {
    static_cast<UcxWorker*>(self)->on_knock({static_cast<const std::byte*>(header), header_bytes});
    return UCS_OK;
  };
  status = ucp_worker_set_am_recv_handler(x_receiver, &handler);
  if (status != UCS_OK) return unavailable(words("UCX takes no message handler", status));
  return Status::ok();
}

// UCX has let go of everything.
void UcxWorker::free_slot(UcxPeer* peer) {
  TARN_CHECK(peer->sender != nullptr && peer->sender->endpoints > 0);
  --peer->sender->endpoints;
  peer->sender->unused_since = x_options.clock->now();
  x_peers.give_back(peer);
}

Result<UcxWorker::PeerRef> UcxWorker::connect(ConnectOptions options) {
  TARN_CHECK(x_receiver != nullptr);
  TARN_ASSIGN_OR_RETURN(const std::string raw,
                        unwrap_ucx_address(context().identity(), options.peer_address));
  if (raw.size() <= kPrefixBytes) return invalid_argument("the UCX port's address has no worker");
  uint64_t port_id = 0;
  std::memcpy(&port_id, raw.data(), kPrefixBytes);
  UcxPeer* const peer = x_peers.take();
  if (peer == nullptr) return overloaded("the UCX port has all the connections it may have");
  const Status begun = begin_outgoing(peer, port_id, raw.substr(kPrefixBytes));
  if (!begun.is_ok()) {
    x_peers.give_back(peer);
    return begun;
  }
  peer->port_id = port_id;
  peer->state = UcxPeer::State::open;
  peer->closed_by_user = peer->is_welcome = peer->endpoints_closed = false;
  peer->link = options.link;
  x_peers.open(peer);
  const PeerRef ref{peer, ++peer->generation};
  x_notes.push_back({ref, peer->outgoing, kKnockId});
  send_notes();
  peer->on_lost = std::move(options.on_lost);
  return ref;
}

Status UcxWorker::begin_outgoing(UcxPeer* peer, uint64_t port_id, const std::string& address) {
  TARN_ASSIGN_OR_RETURN(UcxSender* const sender, x_senders->pick(port_id));
  TARN_ASSIGN_OR_RETURN(peer->outgoing, create_endpoint(sender->worker, address, peer));
  ++sender->endpoints;
  peer->sender = sender;
  peer->endpoints.push_back({.handle = peer->outgoing, .address = {}});
  return Status::ok();
}

void UcxWorker::on_knock(Bytes header) {
  if (header.size() <= kPrefixBytes) return;
  if (header.size() > kPrefixBytes + kUcxWorkerAddressBytesMax) return;
  UcxKnock knock;
  std::memcpy(&knock.port_id, header.data(), kPrefixBytes);
  const Bytes address = header.subspan(kPrefixBytes);
  knock.address.assign(reinterpret_cast<const char*>(address.data()), address.size());
  x_peers.note_knock(std::move(knock));
}

// Outside of UCX's callbacks.
void UcxWorker::answer_knocks() {
  TARN_DCHECK(!x_in_ucx);
  for (const UcxKnock& knock : x_peers.take_knocks()) {
    UcxPeer* const peer = x_peers.to_let_in(knock);
    if (peer != nullptr) let_in(peer, knock.address);
  }
}

// Makes the endpoint that the sender behind `address` is to be heard over, ours to close.
void UcxWorker::let_in(UcxPeer* peer, const std::string& address) {
  TARN_CHECK(peer->state == UcxPeer::State::open);
  const Result<ucp_ep_h> made = create_endpoint(x_receiver, address, peer);
  if (!made) {
    log::warn("a knock is not answered: {}", made.error().to_string());
    return;
  }
  peer->endpoints.push_back({.handle = *made, .address = address});
  x_peers.bind(*made, peer);
  x_notes.push_back({{peer, peer->generation}, *made, kUcxWelcomeId});
}

// Knocks and welcomes, each as soon as its endpoint is connected.
void UcxWorker::send_notes() {
  TARN_DCHECK(!x_in_ucx);
  std::erase_if(x_notes, [this](const Note& note) {
    UcxPeer* const peer = note.peer.peer;
    if (!is_current(note.peer) || peer->state != UcxPeer::State::open) return true;
    const auto at = std::find_if(peer->endpoints.begin(), peer->endpoints.end(),
                                 [&](const UcxEndpoint& each) { return each.handle == note.via; });
    if (at == peer->endpoints.end() || at->failed) return true;
    const std::string& header = note.id == kKnockId ? peer->sender->knock : x_welcome;
    const ucs_status_t sent = send_note(note.via, note.id, header, context().wires_up_late());
    if (sent == UCS_ERR_NO_RESOURCE) return false;
    if (sent != UCS_OK) on_error(peer, note.via, sent);
    return true;
  });
}

// In a callback of UCX's.
void UcxWorker::on_welcome(UcxSender* sender, Bytes header) {
  uint64_t port_id = 0;
  if (header.size() != kPrefixBytes) return;
  std::memcpy(&port_id, header.data(), kPrefixBytes);
  for (UcxPeer* const peer : x_peers.open_to(port_id)) {
    if (peer->sender == sender && !peer->is_welcome) x_welcomed.push_back(peer);
  }
}

// What was to be sent before the other port was ready. Outside of UCX's callbacks.
void UcxWorker::send_waiting() {
  for (UcxPeer* const peer : std::exchange(x_welcomed, {})) {
    if (peer->state != UcxPeer::State::open) continue;
    peer->is_welcome = true;
    for (UcxOperation* const operation : std::exchange(peer->waiting, {}))
      post(operation, operation->payload);
  }
}

Result<ucp_ep_h> UcxWorker::create_endpoint(ucp_worker_h worker, const std::string& address,
                                            UcxPeer* peer) {
  ucp_ep_params_t parameters{};
  parameters.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                          UCP_EP_PARAM_FIELD_ERR_HANDLER;
  parameters.address = reinterpret_cast<const ucp_address_t*>(address.data());
  parameters.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  parameters.err_handler.cb = &UcxWorker::on_error;
  parameters.err_handler.arg = peer;
  ucp_ep_h endpoint = nullptr;
  const ucs_status_t status = ucp_ep_create(worker, &parameters, &endpoint);
  if (status != UCS_OK) return unavailable(words("UCX cannot reach the peer", status));
  return endpoint;
}

// Connections whose messages have waited for too long.
void UcxWorker::lose_unwelcome() {
  TARN_DCHECK(!x_in_ucx);
  const Instant now = x_options.clock->now();
  while (!x_unwelcome.empty() && x_unwelcome.front().give_up <= now) {
    const PeerRef ref = x_unwelcome.front().peer;
    x_unwelcome.pop_front();
    const bool waits = is_current(ref) && ref.peer->state == UcxPeer::State::open;
    if (waits && !ref.peer->is_welcome) lose(ref.peer, UCS_ERR_TIMED_OUT);
  }
}

bool UcxWorker::is_current(PeerRef ref) const {
  return x_receiver != nullptr && ref.peer->generation == ref.generation;
}

Status UcxWorker::send(PeerRef to, Bytes header, std::span<const Bytes> payload, SendDone done) {
  if (header.size() > kHeaderBytesMax) return invalid_argument("the header is too long");
  if (!is_current(to) || to.peer->closed_by_user) return unavailable("the connection is closed");
  if (to.peer->state != UcxPeer::State::open) return unavailable("the peer is gone");
  if (TARN_FAULT_POINT("fabric.ucx_send")) return unavailable("fault point fabric.ucx_send");
  if (to.peer->waiting.size() == kUcxWaitingMax) {
    return overloaded("the other UCX port has not let this one in yet");
  }
  UcxOperation* const operation = x_sends.take();
  if (operation == nullptr) return overloaded("the UCX port has all the sends it may have");
  operation->worker = this;
  operation->peer = to.peer;
  operation->sent = std::move(done);
  operation->header_bytes = kPrefixBytes + header.size();
  std::memcpy(operation->header, &x_port_id, kPrefixBytes);
  if (!header.empty()) {
    std::memcpy(operation->header + kPrefixBytes, header.data(), header.size());
  }
  ++to.peer->in_flight;
  if (to.peer->is_welcome) {
    post(operation, payload);
  } else {
    if (to.peer->waiting.empty()) {
      x_unwelcome.push_back({to, x_options.clock->now() + kUcxWelcomeWait});
    }
    operation->payload.assign(payload.begin(), payload.end());
    to.peer->waiting.push_back(operation);
  }
  return Status::ok();
}

void UcxWorker::post(UcxOperation* operation, std::span<const Bytes> payload) {
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
  const ucs_status_ptr_t request =
      ucp_am_send_nbx(operation->peer->outgoing, kMessageId, operation->header,
                      operation->header_bytes, from.buffer, from.count, &parameters);
  if (request == nullptr) {
    end(operation, UCS_OK);
  } else if (UCS_PTR_IS_ERR(request)) {
    end(operation, UCS_PTR_STATUS(request));
  }
}

void UcxWorker::on_sent(void* request, ucs_status_t status, void* operation) {
  auto* const sent = static_cast<UcxOperation*>(operation);
  ucp_request_free(request);
  sent->worker->end(sent, status);
}

ucs_status_t UcxWorker::on_message(Bytes header, void* data, size_t bytes,
                                   const ucp_am_recv_param_t& parameters) {
  if (!x_handler || header.size() < kPrefixBytes) return UCS_OK;
  if ((parameters.recv_attr & UCP_AM_RECV_ATTR_FIELD_REPLY_EP) == 0) return UCS_OK;
  UcxPeer* const peer = x_peers.owner_of(parameters.reply_ep);
  const bool by_rendezvous = (parameters.recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0;
  UcxPayload payload(*this, {peer, data, bytes, by_rendezvous});
  x_handler(peer == nullptr ? 0 : x_peers.link_of(peer->port_id), header.subspan(kPrefixBytes),
            payload);
  // Without a receive, UCS_OK tells the sender of a rendezvous that its memory is free again.
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
  const uint64_t bytes = total_bytes(into);
  if (into.size() > 1 && context().kind() == Kind::ucx_shm) {
    operation->staging = x_staging.take(bytes);
  }
  const bool staged = operation->staging.memory != nullptr;
  const MutableBytes piece(operation->staging.memory.get(), staged ? bytes : 0);
  const Gathered to = gather(staged ? std::span(&piece, 1) : into, &operation->iov, &parameters);
  operation->peer = peer;
  ++peer->in_flight;
  ++peer->receives_in_flight;
  const ucs_status_ptr_t request =
      ucp_am_recv_data_nbx(x_receiver, descriptor, to.buffer, to.count, &parameters);
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

// The bytes have arrived, or never will; returns their CRC32C.
uint32_t UcxWorker::finish_receive(UcxOperation* operation, Code code) {
  if (operation->staging.memory == nullptr) {
    return code == Code::ok ? crc32c_of(operation->into) : 0;
  }
  ScatterWriter writer(operation->into);
  if (code == Code::ok) {
    const std::byte* const from = operation->staging.memory.get();
    TARN_CHECK(writer.write({from, total_bytes(operation->into)}));
  }
  x_staging.give_back(std::exchange(operation->staging, {}));
  return writer.crc32c();
}

// UCX holds nothing of the operation any more.
void UcxWorker::end(UcxOperation* operation, ucs_status_t status) {
  UcxPeer* const peer = operation->peer;
  const Code code = code_of(*peer, status);
  TARN_CHECK(peer->in_flight > 0);
  --peer->in_flight;
  if (operation->received) {
    TARN_CHECK(peer->receives_in_flight > 0);
    --peer->receives_in_flight;
    const uint32_t crc = finish_receive(operation, code);
    x_received_now += total_bytes(operation->into);
    x_ended.add(std::move(operation->received), code, crc);
    x_receives.give_back(operation);
  } else {
    x_ended.add(std::move(operation->sent), code);
    x_sends.give_back(operation);
  }
}

void UcxWorker::on_error(void* argument, ucp_ep_h endpoint, ucs_status_t status) {
  auto* const peer = static_cast<UcxPeer*>(argument);
  if (peer->state != UcxPeer::State::open) return;
  if (peer->outgoing == endpoint) return peer->worker->lose(peer, status);
  // An older connection of the peer's may have ended; whether this one has, its own way tells.
  for (UcxEndpoint& each : peer->endpoints) {
    if (each.handle != endpoint) continue;
    each.failed = true;
    peer->worker->x_ailing.push_back(peer);
  }
}

void UcxWorker::close_failed() {
  for (UcxPeer* const peer : std::exchange(x_ailing, {})) {
    if (peer->state == UcxPeer::State::open) close_endpoints(peer, Which::failed);
  }
}

void UcxWorker::lose(UcxPeer* peer, ucs_status_t why) {
  TARN_CHECK(peer->state == UcxPeer::State::open);
  peer->state = UcxPeer::State::lost;
  peer->why_lost = why;
  ++x_lost_total;
  const PeerRef ref{peer, peer->generation};
  x_ended.add([this, ref](Status) { tell_lost(ref); }, Status::ok());
  begin_close(peer);
}

void UcxWorker::tell_lost(PeerRef ref) {
  if (!is_current(ref) || ref.peer->closed_by_user || !ref.peer->on_lost) return;
  // Moved out first: the handler may close the connection, and with it its own storage.
  const LostHandler handler = std::move(ref.peer->on_lost);
  handler(unavailable(words("the UCX peer is gone", ref.peer->why_lost)));
}

void UcxWorker::close(PeerRef which) {
  if (!is_current(which) || which.peer->closed_by_user) return;
  UcxPeer* const peer = which.peer;
  peer->closed_by_user = true;
  peer->on_lost = nullptr;
  if (peer->state != UcxPeer::State::open) return;
  begin_close(peer);
  // A payload for this connection may be coming over the endpoint of another to the same port.
  for (UcxPeer* const sibling : x_peers.open_to(peer->port_id)) {
    if (sibling->receives_in_flight > 0) lose(sibling, UCS_ERR_CANCELED);
  }
}

// A lost endpoint is closed, too: UCX keeps its operations until then. By the next progress(),
// which first reads what has come: what UCX finds after a close begins a wire-up of its own.
void UcxWorker::begin_close(UcxPeer* peer) {
  TARN_CHECK(peer->state == UcxPeer::State::open || peer->state == UcxPeer::State::lost);
  if (peer->state == UcxPeer::State::open) peer->state = UcxPeer::State::closing;
  peer->closed_at = x_options.clock->now();
  x_peers.leave(peer);
  x_closing.push_back(peer);
  for (UcxOperation* const operation : std::exchange(peer->waiting, {}))
    end(operation, UCS_ERR_CANCELED);
}

void UcxWorker::close_endpoints(UcxPeer* peer, Which which) {
  ucp_request_param_t parameters{};
  parameters.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
  parameters.flags = UCP_EP_CLOSE_FLAG_FORCE;
  for (UcxEndpoint& each : peer->endpoints) {
    if (each.handle == nullptr || (which == Which::failed && !each.failed)) continue;
    x_peers.unbind(each.handle);
    if (peer->outgoing == each.handle) peer->outgoing = nullptr;
    const ucs_status_ptr_t request = ucp_ep_close_nbx(each.handle, &parameters);
    each.handle = nullptr;
    each.closed = !UCS_PTR_IS_PTR(request);
    if (UCS_PTR_IS_PTR(request)) each.close_request = request;
    if (UCS_PTR_IS_ERR(request)) {
      log::warn("UCX closes badly: {}", ucs_status_string(UCS_PTR_STATUS(request)));
    }
  }
}

void UcxWorker::check_closing(UcxPeer* peer) {
  if (TARN_FAULT_POINT("fabric.ucx_close")) return;
  close_endpoints(peer, Which::all);
  bool all = true;
  for (UcxEndpoint& each : peer->endpoints) {
    if (each.close_request != nullptr &&
        ucp_request_check_status(each.close_request) != UCS_INPROGRESS) {
      ucp_request_free(each.close_request);
      each.close_request = nullptr;
      each.closed = true;
    }
    all = all && each.closed;
  }
  peer->endpoints_closed = all;
}

bool UcxWorker::may_free(const UcxPeer& peer) const {
  return peer.endpoints_closed && peer.in_flight == 0 && peer.closed_by_user;
}

// Called on every turn while the peer's operations are overdue; each of them is told once.
void UcxWorker::quarantine(const UcxPeer& peer) {
  const size_t count = x_sends.quarantine(&peer) + x_receives.quarantine(&peer);
  if (count == 0) return;
  x_quarantined_total += count;
  log::warn(
      "operations that UCX has not ended {} ms after their connection's close: {}; their "
      "memory stays taken until it does",
      kUcxQuarantineAfter.count(), count);
}

void UcxWorker::finish_closing() {
  const Instant now = x_options.clock->now();
  for (UcxPeer* const peer : x_closing) {
    check_closing(peer);
    if (peer->in_flight > 0 && now - peer->closed_at > kUcxQuarantineAfter) {
      quarantine(*peer);
    }
  }
  std::erase_if(x_closing, [this](UcxPeer* peer) {
    if (!may_free(*peer)) return false;
    free_slot(peer);
    return true;
  });
}

size_t UcxWorker::progress() {
  TARN_CHECK(x_receiver != nullptr && !x_in_ucx);
  size_t count = 0;
  x_in_ucx = true;
  x_received_now = 0;
  for (int round = 0; round < kProgressRoundsMax; ++round) {
    unsigned done = ucp_worker_progress(x_receiver);
    // To look at a worker is a system call over TCP. Senders hear nothing but what becomes of their
    // sends; that a peer is gone may wait for the next turn.
    if (round == 0 || x_sends.in_flight() > 0) done += x_senders->progress();
    count += done;
    if (done == 0 || x_received_now >= kReceivedPerProgress) break;
  }
  x_in_ucx = false;
  if (x_peers.has_knocks()) answer_knocks();
  if (!x_notes.empty()) send_notes();
  if (!x_welcomed.empty()) send_waiting();
  if (!x_unwelcome.empty()) lose_unwelcome();
  if (!x_ailing.empty()) close_failed();
  if (!x_closing.empty()) finish_closing();
  if (x_senders->may_drop()) x_senders->drop_unused(x_options.clock->now());
  count += x_ended.call_all();
  return count;
}

bool UcxWorker::arm() {
  if (!x_ended.empty()) return false;
  const Instant now = x_options.clock->now();
  for (const UcxPeer* const peer : x_closing) {
    const bool busy = peer->in_flight > 0 || !peer->endpoints_closed;
    if (busy && now - peer->closed_at < kCloseSpin) return false;
  }
  return ucp_worker_arm(x_receiver) == UCS_OK && x_senders->arm();
}

// Nor is a close that the other side has yet to take part in.
bool UcxWorker::idle() const {
  for (const UcxPeer* const peer : x_closing) {
    if (peer->closed_by_user) return false;
  }
  return x_sends.in_flight() == 0 && x_receives.in_flight() == 0 && x_ended.empty();
}

// UCX has told of all operations, but endpoints that were closed by force still have work in its
// queues; to destroy a worker then ends in an assertion.
void UcxWorker::quiesce() {
  const Instant end = x_options.clock->now() + kShutDownWait;
  for (int quiet = 0; quiet < kQuietRounds && x_options.clock->now() < end; ++quiet) {
    if (ucp_worker_progress(x_receiver) + x_senders->progress() > 0) quiet = 0;
  }
}

void UcxWorker::shut_down() {
  TARN_CHECK(x_receiver != nullptr);
  x_handler = nullptr;
  for (UcxPeer* const peer : x_peers.in_use())
    close({peer, peer->generation});
  const Instant end = x_options.clock->now() + kShutDownWait;
  while ((!x_closing.empty() || !idle()) && x_options.clock->now() < end)
    progress();
  quiesce();
  x_senders->destroy_all();
  ucp_worker_destroy(std::exchange(x_receiver, nullptr));
}

UcxPort::Counters UcxWorker::counters() const {
  return {x_peers.open_count(), x_sends.in_flight(), x_receives.in_flight(), x_quarantined_total,
          x_lost_total};
}

}  // namespace tarn::fabric
