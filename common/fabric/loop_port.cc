#include "common/fabric/loop_port.h"

#include <utility>

#include "common/fabric/loop_core.h"

namespace tarn::fabric {

struct LoopHub::Fault {
  Path path = Path::pass;
  struct Held {
    std::shared_ptr<LoopMessage> message;
    std::shared_ptr<LoopMailbox> to;
  };
  std::vector<Held> held;
};

LoopHub::LoopHub() = default;

LoopHub::~LoopHub() {
  TARN_CHECK(x_mailboxes.empty());
}

void LoopHub::set_path(const std::string& from, const std::string& to, Path path) {
  std::vector<Fault::Held> released;
  {
    const MutexLock lock(x_mutex);
    auto& fault = x_faults[{from, to}];
    if (fault == nullptr) fault = std::make_unique<Fault>();
    fault->path = path;
    if (path == Path::pass) released = std::move(fault->held);
  }
  for (Fault::Held& each : released) {
    const Status posted = each.to->post_message(each.message);
    if (!posted.is_ok() && each.message->take_back()) {
      each.message->from->post_end(each.message, posted.code());
    }
  }
}

void LoopHub::lose(const std::string& a, const std::string& b) {
  const auto mailbox_a = find(a);
  const auto mailbox_b = find(b);
  TARN_CHECK(mailbox_a != nullptr && mailbox_b != nullptr);
  mailbox_a->post_lost(mailbox_b);
  mailbox_b->post_lost(mailbox_a);
}

Status LoopHub::add(std::shared_ptr<LoopMailbox> mailbox) {
  const MutexLock lock(x_mutex);
  const std::string name = mailbox->name();
  if (!x_mailboxes.emplace(name, std::move(mailbox)).second) {
    return invalid_argument("there is a loop port " + name + " already");
  }
  return Status::ok();
}

void LoopHub::remove(const LoopMailbox& mailbox) {
  std::vector<std::shared_ptr<LoopMailbox>> others;
  std::shared_ptr<LoopMailbox> gone;
  {
    const MutexLock lock(x_mutex);
    const auto found = x_mailboxes.find(mailbox.name());
    TARN_CHECK(found != x_mailboxes.end());
    gone = std::move(found->second);
    x_mailboxes.erase(found);
    for (const auto& [name, other] : x_mailboxes)
      others.push_back(other);
  }
  for (const LoopEvent& event : gone->close()) {
    if (event.what == LoopEvent::What::arrived && event.message->take_back()) {
      event.message->from->post_end(event.message, Code::unavailable);
    }
  }
  for (const auto& other : others)
    other->post_lost(gone);
}

std::shared_ptr<LoopMailbox> LoopHub::find(const std::string& name) {
  const MutexLock lock(x_mutex);
  const auto found = x_mailboxes.find(name);
  return found == x_mailboxes.end() ? nullptr : found->second;
}

Status LoopHub::carry(std::shared_ptr<LoopMessage> message, LoopMailbox& to) {
  {
    const MutexLock lock(x_mutex);
    const auto found = x_faults.find({message->from->name(), to.name()});
    const Path path = found == x_faults.end() ? Path::pass : found->second->path;
    const auto mailbox = x_mailboxes.find(to.name());
    if (path == Path::hold && mailbox != x_mailboxes.end()) {
      found->second->held.push_back({std::move(message), mailbox->second});
      return Status::ok();
    }
    if (path == Path::drop && message->take_back()) {
      message->from->post_end(message, Code::ok);
      return Status::ok();
    }
  }
  return to.post_message(std::move(message));
}

namespace {

class LoopConnection : public Connection {
 public:
  LoopConnection(std::shared_ptr<LoopCore> core, uint64_t id) : x_core(std::move(core)), x_id(id) {}
  ~LoopConnection() override { close(); }

  Status send(Bytes header, std::span<const Bytes> payload, SendDone done) override {
    if (header.size() > kHeaderBytesMax) return invalid_argument("the header is too long");
    auto message = x_core->take_message();
    message->header.assign(header.begin(), header.end());
    message->payload.assign(payload.begin(), payload.end());
    message->done = std::move(done);
    return x_core->send(x_id, std::move(message));
  }

  void close() override { x_core->close(x_id); }

 private:
  const std::shared_ptr<LoopCore> x_core;
  const uint64_t x_id;
};

}  // namespace

Result<std::unique_ptr<LoopPort>> LoopPort::open(LoopHub& hub, std::string name) {
  if (name.empty()) return invalid_argument("a loop port needs a name");
  TARN_ASSIGN_OR_RETURN(Event event, Event::open());
  auto mailbox = std::make_shared<LoopMailbox>(std::move(name), std::move(event));
  TARN_RETURN_IF_ERROR(hub.add(mailbox));
  return std::unique_ptr<LoopPort>(
      new LoopPort(std::make_shared<LoopCore>(hub, std::move(mailbox))));
}

LoopPort::~LoopPort() {
  x_core->shut_down();
}

std::string LoopPort::address() const {
  return x_core->mailbox().name();
}

void LoopPort::set_handler(Handler handler) {
  x_core->set_handler(std::move(handler));
}

Result<std::unique_ptr<Connection>> LoopPort::connect(ConnectOptions options) {
  TARN_ASSIGN_OR_RETURN(const uint64_t id, x_core->connect(std::move(options)));
  return std::unique_ptr<Connection>(std::make_unique<LoopConnection>(x_core, id));
}

size_t LoopPort::progress() {
  return x_core->progress();
}

bool LoopPort::arm() {
  return x_core->arm();
}

int LoopPort::event_fd() const {
  return x_core->mailbox().event_fd();
}

void LoopPort::set_maps(bool maps) {
  x_core->set_maps(maps);
}

bool LoopPort::idle() const {
  return x_core->idle();
}

}  // namespace tarn::fabric
