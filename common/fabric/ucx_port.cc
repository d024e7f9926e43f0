#include "common/fabric/ucx_port.h"

#include <utility>

#include "common/base/check.h"
#include "common/fabric/ucx_worker.h"

namespace tarn::fabric {
namespace {

class UcxConnection : public Connection {
 public:
  UcxConnection(std::shared_ptr<UcxWorker> worker, UcxWorker::PeerRef peer)
      : x_worker(std::move(worker)), x_peer(peer) {}
  ~UcxConnection() override { close(); }

  Status send(Bytes header, std::span<const Bytes> payload, SendDone done) override {
    return x_worker->send(x_peer, header, payload, std::move(done));
  }
  void close() override { x_worker->close(x_peer); }

 private:
  const std::shared_ptr<UcxWorker> x_worker;
  const UcxWorker::PeerRef x_peer;
};

}  // namespace

Result<std::unique_ptr<UcxPort>> UcxPort::open(Options options) {
  TARN_CHECK(options.sends_max > 0 && options.receives_max > 0 && options.connections_max > 0);
  TARN_ASSIGN_OR_RETURN(auto worker, UcxWorker::open(std::move(options)));
  return std::unique_ptr<UcxPort>(new UcxPort(std::move(worker)));
}

UcxPort::~UcxPort() {
  x_worker->shut_down();
}

Kind UcxPort::kind() const {
  return x_worker->context().kind();
}

std::string UcxPort::address() const {
  return x_worker->address();
}

std::string UcxPort::transport() const {
  return x_worker->context().transport();
}

void UcxPort::set_handler(Handler handler) {
  x_worker->set_handler(std::move(handler));
}

Result<std::unique_ptr<Connection>> UcxPort::connect(ConnectOptions options) {
  TARN_ASSIGN_OR_RETURN(const UcxWorker::PeerRef peer, x_worker->connect(std::move(options)));
  return std::unique_ptr<Connection>(std::make_unique<UcxConnection>(x_worker, peer));
}

size_t UcxPort::progress() {
  return x_worker->progress();
}

bool UcxPort::arm() {
  return x_worker->arm();
}

int UcxPort::event_fd() const {
  return x_worker->event_fd();
}

bool UcxPort::idle() const {
  return x_worker->idle();
}

Status UcxPort::register_memory(MutableBytes memory) {
  return x_worker->context().register_memory(memory);
}

UcxPort::Counters UcxPort::counters() const {
  return x_worker->counters();
}

}  // namespace tarn::fabric
