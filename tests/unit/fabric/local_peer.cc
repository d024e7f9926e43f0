// usage: fabric_local_peer client FOLDER SERVER-ADDRESS
//        fabric_local_peer server FOLDER CLIENT-ADDRESS
// Opens a port of the local fabric, writes its own address to stdout, waits for an empty line on
// stdin (the other side is ready), and then keeps all ways busy until it is killed: messages
// without payload, with payloads of plain memory and of memory that it shows. What comes is
// received, or, each third time, viewed and held.
#include <unistd.h>

#include <cstdio>
#include <list>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/fabric/local_port.h"
#include "tests/unit/fabric/memfd_of_tests.h"

namespace tarn::fabric {
namespace {

constexpr size_t kBlockBytes = 300'000;

class Busy {
 public:
  Busy(bool is_server, const std::string& folder) {
    x_memory->add({.id = 1, .memory = x_buffer.memory(), .fd = x_buffer.fd(), .domain = {}});
    x_port = LocalPort::open({.folder = LocalFolder::open(folder, false).value(),
                              .is_server = is_server,
                              .memory = x_memory})
                 .value();
    x_port->set_handler([this](uint64_t, Bytes, Payload& payload) { on_message(payload); });
  }

  void run(bool is_server, const std::string& peer) {
    if (is_server) connect(peer);
    std::printf("%s\n", x_port->address().c_str());
    std::fflush(stdout);
    TARN_CHECK(std::getchar() == '\n');
    if (!is_server) connect(peer);
    for (uint64_t turn = 0;; ++turn) {
      x_port->progress();
      send(turn);
    }
  }

 private:
  void connect(const std::string& peer) {
    x_way = x_port->connect({.peer_address = peer, .link = 1, .on_lost = {}}).value();
  }

  void on_message(Payload& payload) {
    if (payload.size() == 0) return;
    if (++x_count % 3 == 0) {
      if (auto view = payload.view(); view.has_value()) {
        x_views.push_back(std::move(view->release));
        if (x_views.size() < 20) return;
        x_views.front()();
        x_views.pop_front();
        return;
      }
    }
    x_in.resize(payload.size());
    const MutableBytes into = x_in;
    payload.receive({&into, 1}, [](Code, uint32_t) {});
  }

  void send(uint64_t turn) {
    const Bytes shown = x_buffer.memory().first(kBlockBytes);
    const Bytes plain = x_plain;
    const Bytes payload = turn % 3 == 1 ? shown : plain;
    const std::span<const Bytes> parts(&payload, turn % 3 == 0 ? 0 : 1);
    (void)x_way->send(std::as_bytes(std::span("x", 1)), parts, {});
  }

  MemfdOfTests x_buffer{1 << 20};
  const std::shared_ptr<LocalMemory> x_memory = std::make_shared<LocalMemory>();
  std::vector<std::byte> x_plain = std::vector<std::byte>(kBlockBytes);
  std::vector<std::byte> x_in;
  std::list<std::function<void()>> x_views;
  uint64_t x_count = 0;
  std::unique_ptr<LocalPort> x_port;
  std::unique_ptr<Connection> x_way;
};

}  // namespace
}  // namespace tarn::fabric

int main(int argc, char** argv) {
  TARN_CHECK(argc == 4);
  const bool is_server = std::string(argv[1]) == "server";
  tarn::fabric::Busy(is_server, argv[2]).run(is_server, argv[3]);
  return 0;
}
