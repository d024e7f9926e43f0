#include "common/fabric/ucx_sender.h"

#include <sys/epoll.h>

#include "common/base/check.h"
#include "common/fabric/ucx_address.h"

namespace tarn::fabric {
namespace {

Status refused(const char* what, ucs_status_t status) {
  return unavailable(std::string(what) + ": " + ucs_status_string(status));
}

}  // namespace

Result<ucp_worker_h> create_worker(ucp_context_h context) {
  ucp_worker_params_t parameters{};
  parameters.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  parameters.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  ucp_worker_h worker = nullptr;
  const ucs_status_t status = ucp_worker_create(context, &parameters, &worker);
  if (status != UCS_OK) return refused("UCX gives no worker", status);
  return worker;
}

Result<UcxWorkerFacts> query_worker(ucp_worker_h worker) {
  ucp_worker_attr_t attributes{};
  attributes.field_mask = UCP_WORKER_ATTR_FIELD_ADDRESS | UCP_WORKER_ATTR_FIELD_MAX_AM_HEADER;
  const ucs_status_t status = ucp_worker_query(worker, &attributes);
  if (status != UCS_OK) return refused("UCX tells no address", status);
  UcxWorkerFacts facts;
  facts.header_bytes_max = attributes.max_am_header;
  facts.address.assign(reinterpret_cast<const char*>(attributes.address),
                       attributes.address_length);
  ucp_worker_release_address(worker, attributes.address);
  return facts;
}

Result<int> watch_worker(ucp_worker_h worker, int epoll_fd) {
  int fd = -1;
  const ucs_status_t status = ucp_worker_get_efd(worker, &fd);
  if (status != UCS_OK) return refused("UCX has no event fd", status);
  epoll_event event{};
  event.events = EPOLLIN;
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
    return unavailable("UCX's event fd cannot be waited for");
  }
  return fd;
}

UcxSenders::~UcxSenders() {
  destroy_all();
}

Result<UcxSender*> UcxSenders::pick(uint64_t port_id) {
  for (const auto& sender : x_senders) {
    if (sender->ports.size() == kUcxSenderPortsMax) continue;
    if (sender->ports.insert(port_id).second) return sender.get();
  }
  if (x_senders.size() == kUcxSendersMax) {
    return unavailable("the UCX port has met the same peers too often, too fast");
  }
  TARN_ASSIGN_OR_RETURN(UcxSender* const made, make());
  made->ports.insert(port_id);
  return made;
}

Result<UcxSender*> UcxSenders::make() {
  TARN_CHECK(x_owner.epoll_fd >= 0);
  auto sender = std::make_unique<UcxSender>();
  TARN_ASSIGN_OR_RETURN(sender->worker, create_worker(x_owner.context));
  const auto facts = query_worker(sender->worker);
  const auto event_fd = watch_worker(sender->worker, x_owner.epoll_fd);
  Status status = facts ? event_fd.status() : facts.status();
  if (status.is_ok() && facts->address.size() > kUcxWorkerAddressBytesMax) {
    status = unavailable("the UCX worker address is too long");
  }
  if (status.is_ok()) status = expect_welcome(*sender);
  if (!status.is_ok()) {
    ucp_worker_destroy(sender->worker);
    return status;
  }
  sender->knock.assign(reinterpret_cast<const char*>(&x_owner.port_id), sizeof(x_owner.port_id));
  sender->knock += facts->address;
  sender->event_fd = *event_fd;
  x_senders.push_back(std::move(sender));
  return x_senders.back().get();
}

Status UcxSenders::expect_welcome(UcxSender& sender) const {
  sender.senders = this;
  ucp_am_handler_param_t handler{};
  handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB |
                       UCP_AM_HANDLER_PARAM_FIELD_ARG;
  handler.id = kUcxWelcomeId;
  handler.cb = [](void* self, const void* header, size_t header_bytes, void*, size_t,
                  const ucp_am_recv_param_t*) {
    auto* const welcomed = static_cast<UcxSender*>(self);
    welcomed->senders->x_owner.on_welcome(welcomed,
                                          {static_cast<const std::byte*>(header), header_bytes});
    return UCS_OK;
  };
  handler.arg = &sender;
  const ucs_status_t status = ucp_worker_set_am_recv_handler(sender.worker, &handler);
  if (status != UCS_OK) return refused("UCX takes no message handler", status);
  return Status::ok();
}

unsigned UcxSenders::progress() {
  unsigned count = 0;
  for (const auto& sender : x_senders)
    count += ucp_worker_progress(sender->worker);
  return count;
}

bool UcxSenders::arm() {
  for (const auto& sender : x_senders) {
    if (ucp_worker_arm(sender->worker) != UCS_OK) return false;
  }
  return true;
}

void UcxSenders::drop_unused(Instant now) {
  for (size_t i = x_senders.size(); i-- > 1;) {
    const UcxSender& sender = *x_senders[i];
    if (sender.endpoints > 0 || now - sender.unused_since < kUcxSenderRest) continue;
    destroy(*x_senders[i]);
    x_senders.erase(x_senders.begin() + static_cast<ptrdiff_t>(i));
  }
}

void UcxSenders::destroy(UcxSender& sender) {
  epoll_ctl(x_owner.epoll_fd, EPOLL_CTL_DEL, sender.event_fd, nullptr);
  ucp_worker_destroy(sender.worker);
}

void UcxSenders::destroy_all() {
  for (const auto& sender : x_senders)
    destroy(*sender);
  x_senders.clear();
}

}  // namespace tarn::fabric
