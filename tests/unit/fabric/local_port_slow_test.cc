// Either side of the local fabric dies by SIGKILL at any moment, again and again: the other one
// ends everything that was under way, keeps nothing, and goes on with the next.
#include "common/fabric/local_port.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <thread>
#include <vector>

#include "common/base/units.h"
#include "common/fabric/local_closing.h"
#include "tests/unit/fabric/conformance.h"
#include "tests/unit/fabric/local_pair.h"
#include "tests/unit/fabric/memfd_of_tests.h"
#include "tests/unit/fabric/peer_process.h"

namespace tarn::fabric {
namespace {

constexpr int kRounds = 200;
constexpr size_t kBlockBytes = 400'000;

size_t files_open() {
  while (files_to_close() > 0)
    std::this_thread::yield();
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

size_t memfds_mapped() {
  std::ifstream file("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(file, line);)
    count += line.find("/memfd:") != std::string::npos ? 1 : 0;
  return count;
}

// One port of this process, and a peer process that keeps it busy until it is killed.
class DyingPeerTest : public testing::TestWithParam<bool> {
 protected:
  DyingPeerTest() {
    x_memory->add({.id = 1, .memory = x_slab.memory(), .fd = x_slab.fd(), .domain = {}});
    x_port =
        LocalPort::open({.folder = x_folder.folder(), .is_server = is_server(), .memory = x_memory})
            .value();
    x_port->set_handler([this](uint64_t, Bytes, Payload& payload) { on_message(payload); });
  }

  static bool is_server() { return GetParam(); }

  void on_message(Payload& payload) {
    ++x_messages;
    if (payload.size() == 0) return;
    x_in.resize(std::max<size_t>(x_in.size(), payload.size()));
    const MutableBytes into = MutableBytes(x_in).first(payload.size());
    ++x_receives;
    payload.receive({&into, 1}, [this](Code, uint32_t) { --x_receives; });
  }

  bool until(const std::function<bool()>& condition) {
    const Instant end = system_clock().now() + std::chrono::seconds(10);
    while (!condition()) {
      if (system_clock().now() > end) return false;
      x_port->progress();
    }
    return true;
  }

  void send(Connection& way, int turn) {
    const Bytes shown = x_slab.memory().first(kBlockBytes);
    const Bytes plain = x_plain;
    const Bytes payload = turn % 3 == 1 ? shown : plain;
    const std::span<const Bytes> parts(&payload, turn % 3 == 0 ? 0 : 1);
    if (way.send(bytes_of("y"), parts, [this](Code) { --x_sends; }).is_ok()) ++x_sends;
  }

  // A server's peer is a client and comes to it; a client's is connected to when it listens.
  void live_and_die(Nanos life) {
    PeerProcess peer({TARN_LOCAL_PEER, is_server() ? "client" : "server", x_folder.folder().path,
                      x_port->address()});
    const std::string address = peer.read_line();
    bool lost = false;
    const auto connect = [&] {
      return x_port
          ->connect({.peer_address = address, .link = 1, .on_lost = [&](Status) { lost = true; }})
          .value();
    };
    // The server's side has to know of the client first.
    std::unique_ptr<Connection> way;
    if (is_server()) way = connect();
    peer.write_line();
    if (!is_server()) way = connect();
    const int before = x_messages;
    int turn = 0;
    ASSERT_TRUE(until([&] {
      send(*way, turn++);
      return x_messages > before || lost;
    }));
    const Instant end = system_clock().now() + life;
    until([&] {
      send(*way, turn++);
      return system_clock().now() > end;
    });
    peer.kill_and_reap();
    ASSERT_TRUE(until([&] { return lost; }));
    ASSERT_TRUE(until([&] { return x_sends == 0 && x_receives == 0 && x_port->idle(); }));
  }

  FolderOfTests x_folder;
  MemfdOfTests x_slab{kMiB};
  const std::shared_ptr<LocalMemory> x_memory = std::make_shared<LocalMemory>();
  std::vector<std::byte> x_plain = std::vector<std::byte>(kBlockBytes);
  std::vector<std::byte> x_in;
  std::unique_ptr<LocalPort> x_port;
  int x_messages = 0;
  int x_sends = 0;
  int x_receives = 0;
};

TEST_P(DyingPeerTest, AnySigkillLeavesNothingBehind) {
  std::mt19937_64 random(7);
  live_and_die(std::chrono::milliseconds(5));
  const size_t files = files_open();
  const size_t maps = memfds_mapped();
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    ASSERT_NO_FATAL_FAILURE(live_and_die(std::chrono::microseconds(random() % 4000)));
    ASSERT_EQ(memfds_mapped(), maps);
    ASSERT_EQ(files_open(), files);
  }
  const LocalCounters& counters = x_port->counters();
  EXPECT_EQ(counters.bad_records + counters.bad_indices + counters.bad_notes + counters.bad_memory,
            0u)
      << "death is no crime";
}

INSTANTIATE_TEST_SUITE_P(Local, DyingPeerTest, testing::Bool(), [](const auto& each) {
  return each.param ? "TheClientDies" : "TheServerDies";
});

}  // namespace
}  // namespace tarn::fabric
