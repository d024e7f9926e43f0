#include "benchmarks/baseline/node.h"

#include <poll.h>
#include <sys/mman.h>
#include <ucp/api/ucp.h>

#include <array>
#include <chrono>
#include <cstring>

#include "common/base/check.h"
#include "common/fabric/ucx_settings.h"

namespace tarn::baseline {
namespace {

constexpr unsigned kMessageId = 1;
constexpr int kProgressRoundsMax = 32;
constexpr int kSleepMsMax = 100;

Status ucx_error(const char* what, ucs_status_t status) {
  return unavailable(std::string(what) + ": " + ucs_status_string(status));
}

void on_sent(void* request, ucs_status_t, void*) {
  ucp_request_free(request);
}

}  // namespace

int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

Arena::Arena(size_t bytes) : x_size(bytes) {
  void* const data =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  TARN_CHECK(data != MAP_FAILED);
  x_data = static_cast<std::byte*>(data);
  madvise(data, bytes, MADV_HUGEPAGE);
  std::memset(data, 1, bytes);
}

Arena::~Arena() {
  TARN_CHECK(munmap(x_data, x_size) == 0);
}

Result<std::unique_ptr<Node>> Node::open(const NodeOptions& options) {
  std::unique_ptr<Node> node(new Node(options));
  TARN_ASSIGN_OR_RETURN(node->x_context,
                        fabric::UcxContext::open({.kind = options.kind, .device = options.device}));
  TARN_RETURN_IF_ERROR(node->start());
  return node;
}

Node::~Node() {
  if (x_worker != nullptr) ucp_worker_destroy(x_worker);
}

void Node::set_handlers(Place place, OnMessage on_message) {
  x_place = std::move(place);
  x_on_message = std::move(on_message);
}

Status Node::start() {
  ucp_worker_params_t parameters{};
  parameters.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  parameters.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  ucs_status_t status = ucp_worker_create(x_context->handle(), &parameters, &x_worker);
  if (status != UCS_OK) return ucx_error("no worker", status);
  ucp_am_handler_param_t handler{};
  handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB |
                       UCP_AM_HANDLER_PARAM_FIELD_ARG | UCP_AM_HANDLER_PARAM_FIELD_FLAGS;
  handler.id = kMessageId;
  handler.cb = [](void* self, const void* header, size_t header_bytes, void* data, size_t bytes,
                  const ucp_am_recv_param_t* message) {
    TARN_CHECK(header_bytes == sizeof(Message));
    static_cast<Node*>(self)->on_active_message(header, data, bytes, message->recv_attr);
    return UCS_OK;
  };
  handler.arg = this;
  handler.flags = UCP_AM_FLAG_WHOLE_MSG;
  status = ucp_worker_set_am_recv_handler(x_worker, &handler);
  if (status != UCS_OK) return ucx_error("no message handler", status);
  status = ucp_worker_get_efd(x_worker, &x_event_fd);
  if (status != UCS_OK) return ucx_error("no event fd", status);
  return learn_address();
}

Status Node::learn_address() {
  ucp_worker_attr_t attributes{};
  attributes.field_mask = UCP_WORKER_ATTR_FIELD_ADDRESS;
  const ucs_status_t status = ucp_worker_query(x_worker, &attributes);
  if (status != UCS_OK) return ucx_error("no address", status);
  x_address.assign(reinterpret_cast<const char*>(attributes.address), attributes.address_length);
  ucp_worker_release_address(x_worker, attributes.address);
  return Status::ok();
}

Status Node::connect(const std::string& peer_address) {
  ucp_ep_params_t parameters{};
  parameters.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                          UCP_EP_PARAM_FIELD_ERR_HANDLER;
  parameters.address = reinterpret_cast<const ucp_address_t*>(peer_address.data());
  parameters.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  parameters.err_handler.cb = [](void* self, ucp_ep_h, ucs_status_t) {
    static_cast<Node*>(self)->x_is_lost = true;
  };
  parameters.err_handler.arg = this;
  const ucs_status_t status = ucp_ep_create(x_worker, &parameters, &x_endpoint);
  return status == UCS_OK ? Status::ok() : ucx_error("no endpoint", status);
}

Status Node::register_memory(const Arena& arena) {
  return x_context->register_memory({arena.data(), arena.size()});
}

Status Node::send(const Message& message, std::span<const std::byte> payload) {
  Message& out = x_out[x_next_out++ % kMessagesMax];
  out = message;
  ucp_request_param_t parameters{};
  parameters.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_FLAGS;
  parameters.flags = UCP_AM_SEND_FLAG_REPLY |
                     (payload.size() >= fabric::kRendezvousBytesMin ? UCP_AM_SEND_FLAG_RNDV
                                                                    : UCP_AM_SEND_FLAG_EAGER);
  parameters.cb.send = on_sent;
  const ucs_status_ptr_t request =
      ucp_am_send_nbx(x_endpoint, kMessageId, &out, sizeof(out),
                      payload.empty() ? nullptr : payload.data(), payload.size(), &parameters);
  if (UCS_PTR_IS_ERR(request)) return ucx_error("send", UCS_PTR_STATUS(request));
  return Status::ok();
}

void Node::on_active_message(const void* header, void* data, size_t bytes, uint64_t attributes) {
  if (x_free.empty()) {
    x_receives.push_back(std::make_unique<Receive>());
    x_free.push_back(x_receives.back().get());
  }
  Receive* const receive = x_free.back();
  x_free.pop_back();
  receive->node = this;
  receive->bytes = bytes;
  std::memcpy(&receive->message, header, sizeof(Message));
  if (bytes == 0) {
    finish(receive, true);
    return;
  }
  std::byte* const into = x_place(receive->message);
  if ((attributes & UCP_AM_RECV_ATTR_FLAG_RNDV) == 0) {
    std::memcpy(into, data, bytes);
    finish(receive, true);
    return;
  }
  ucp_request_param_t parameters{};
  parameters.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FLAG_NO_IMM_CMPL;
  parameters.cb.recv_am = [](void* request, ucs_status_t status, size_t, void* argument) {
    ucp_request_free(request);
    auto* const ended = static_cast<Receive*>(argument);
    ended->node->finish(ended, status == UCS_OK);
  };
  parameters.user_data = receive;
  const ucs_status_ptr_t request = ucp_am_recv_data_nbx(x_worker, data, into, bytes, &parameters);
  if (UCS_PTR_IS_ERR(request)) finish(receive, false);
}

// What has arrived is handled outside of UCX's own progress, as Tarn does.
void Node::finish(Receive* receive, bool is_ok) {
  if (is_ok) {
    x_arrived.push_back(*receive);
  } else {
    x_is_lost = true;
  }
  x_free.push_back(receive);
}

unsigned Node::progress() {
  unsigned done = 0;
  for (int round = 0; round < kProgressRoundsMax; ++round) {
    const unsigned now_done = ucp_worker_progress(x_worker);
    if (now_done == 0) break;
    done += now_done;
  }
  for (size_t i = 0; i < x_arrived.size(); ++i) {
    const Receive arrived = x_arrived[i];
    x_on_message(arrived.message, arrived.bytes);
    ++done;
  }
  x_arrived.clear();
  return done;
}

bool Node::turn(int also_fd) {
  if (progress() > 0) {
    x_last_work_ns = now_ns();
    return true;
  }
  if (now_ns() - x_last_work_ns < x_options.spin_us * 1000) return true;
  if (ucp_worker_arm(x_worker) != UCS_OK) return true;
  std::array<pollfd, 2> fds{pollfd{x_event_fd, POLLIN, 0}, pollfd{also_fd, POLLIN, 0}};
  poll(fds.data(), also_fd < 0 ? 1 : 2, kSleepMsMax);
  return fds[1].revents == 0;
}

}  // namespace tarn::baseline
