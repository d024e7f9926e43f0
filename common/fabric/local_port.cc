#include "common/fabric/local_port.h"

#include <sys/epoll.h>
#include <sys/random.h>

#include <array>
#include <fstream>
#include <utility>

#include "common/base/check.h"
#include "common/base/ids.h"
#include "common/fabric/local_core.h"

namespace tarn::fabric {
namespace {

class LocalConnection : public Connection {
 public:
  LocalConnection(std::shared_ptr<LocalCore> core, uint64_t id)
      : x_core(std::move(core)), x_id(id) {}
  ~LocalConnection() override { close(); }

  Status send(Bytes header, std::span<const Bytes> payload, SendDone done) override {
    if (header.size() > kHeaderBytesMax) return invalid_argument("the header is too long");
    return x_core->send(x_id, header, payload, std::move(done));
  }

  void close() override { x_core->close(x_id); }

 private:
  const std::shared_ptr<LocalCore> x_core;
  const uint64_t x_id;
};

Result<std::string> new_secret() {
  std::array<char, 16> random;
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    return unavailable("no random bytes for a local port");
  }
  return to_hex(std::string_view(random.data(), random.size()));
}

}  // namespace

Result<std::unique_ptr<LocalPort>> LocalPort::open(Options options) {
  LocalCore::Setup setup;
  setup.folder = std::move(options.folder);
  setup.desk = std::make_shared<LocalDesk>();
  setup.desk->is_server = options.is_server;
  setup.desk->memory = std::move(options.memory);
  setup.desk->limits = options.limits;
  if (options.is_server) {
    TARN_ASSIGN_OR_RETURN(auto listening, LocalSocket::listen(setup.folder));
    setup.listener = std::move(listening.socket);
    setup.listener_name = listening.name;
    setup.own_address = local_address_of(listening.name);
  } else {
    TARN_ASSIGN_OR_RETURN(setup.own_address, new_secret());
  }
  setup.epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (setup.epoll_fd < 0) return unavailable("no epoll for a local port");
  setup.desk->epoll_fd = setup.epoll_fd;
  return std::unique_ptr<LocalPort>(new LocalPort(std::make_shared<LocalCore>(std::move(setup))));
}

LocalPort::~LocalPort() {
  x_core->shut_down();
}

std::string LocalPort::address() const {
  return x_core->address();
}

std::string LocalPort::transport() const {
  return "shared memory by " + x_core->folder().path;
}

void LocalPort::set_handler(Handler handler) {
  x_core->desk().handler = std::move(handler);
}

void LocalPort::set_keeper(Keeper keeper) {
  x_core->desk().keeper = std::move(keeper);
}

Result<std::unique_ptr<Connection>> LocalPort::connect(ConnectOptions options) {
  return connect_showing(std::move(options), {});
}

Result<std::unique_ptr<Connection>> LocalPort::connect_showing(ConnectOptions options,
                                                               const Domain& may_map,
                                                               const Domain& owner) {
  TARN_ASSIGN_OR_RETURN(const uint64_t id, x_core->connect(std::move(options), may_map, owner));
  return std::unique_ptr<Connection>(std::make_unique<LocalConnection>(x_core, id));
}

size_t LocalPort::progress() {
  return x_core->progress();
}

bool LocalPort::arm() {
  return x_core->arm();
}

int LocalPort::event_fd() const {
  return x_core->event_fd();
}

bool LocalPort::idle() const {
  return x_core->idle();
}

const LocalCounters& LocalPort::counters() const {
  return x_core->desk().counters;
}

std::string local_version() {
  return std::to_string(kLocalVersion);
}

std::string local_host() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace tarn::fabric
