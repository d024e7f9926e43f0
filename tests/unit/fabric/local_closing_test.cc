// Files that make whoever closes them last wait, passed by a client: no thread of a port does.
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <fstream>

#include "common/base/fault_point.h"
#include "common/base/units.h"
#include "common/fabric/local_closing.h"
#include "tests/unit/fabric/conformance.h"
#include "tests/unit/fabric/local_pair.h"
#include "tests/unit/fabric/local_raw_client.h"
#include "tests/unit/fabric/memfd_of_tests.h"

namespace tarn::fabric {
namespace {

constexpr int kLingerSeconds = 10;
constexpr auto kAtOnce = std::chrono::seconds(5);
constexpr uint32_t kHangMs = 20;

// A TCP connection with bytes that nobody reads: its last close() waits for that, until this ends.
class LingeringFile {
 public:
  LingeringFile() : x_listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    // The reader's side takes far less than what waits for it.
    const int few = 4096;
    const int many = 128 << 10;
    EXPECT_EQ(::setsockopt(x_listener, SOL_SOCKET, SO_RCVBUF, &few, sizeof(few)), 0);
    EXPECT_EQ(::bind(x_listener, any, size), 0);
    EXPECT_EQ(::listen(x_listener, 1), 0);
    EXPECT_EQ(::getsockname(x_listener, any, &size), 0);
    x_fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::setsockopt(x_fd, SOL_SOCKET, SO_SNDBUF, &many, sizeof(many)), 0);
    EXPECT_EQ(::connect(x_fd, any, size), 0);
    EXPECT_EQ(::fcntl(x_fd, F_SETFL, O_NONBLOCK), 0);
    x_reader = ::accept4(x_listener, nullptr, nullptr, SOCK_CLOEXEC);
    EXPECT_GE(x_reader, 0);
    const linger waits{1, kLingerSeconds};
    EXPECT_EQ(::setsockopt(x_fd, SOL_SOCKET, SO_LINGER, &waits, sizeof(waits)), 0);
    const std::vector<std::byte> some(1 << 20);
    while (::send(x_fd, some.data(), some.size(), MSG_NOSIGNAL) > 0) {
    }
  }
  ~LingeringFile() {
    // With bytes unread: a reset, which the other end hears.
    ::close(x_reader);
    ::close(x_listener);
  }
  LingeringFile(const LingeringFile&) = delete;
  LingeringFile& operator=(const LingeringFile&) = delete;

  // Passes it on, so that the port's copy is the last one.
  void give_to(LocalSocket& socket) {
    ASSERT_TRUE(socket.send(LocalNote{}, x_fd).is_ok());
    ::close(x_fd);
  }

 private:
  const int x_listener;
  int x_reader = -1;
  int x_fd = -1;
};

class LocalClosingTest : public testing::Test {
 protected:
  void SetUp() override {
    x_to_attacker =
        x_pair.b().connect({.peer_address = kAttacker, .link = 66, .on_lost = {}}).value();
  }

  void TearDown() override { fault::disarm_all(); }

  std::unique_ptr<RawClient> stranger() {
    return std::make_unique<RawClient>(x_pair.folder(), x_pair.b().address());
  }

  // Ends with the file unread, so that it is closed with its socket.
  std::unique_ptr<RawClient> leave_unread(LingeringFile& file) {
    auto client = stranger();
    (void)::send(client->socket().fd(), "GET /", 5, MSG_NOSIGNAL);
    file.give_to(client->socket());
    EXPECT_TRUE(x_pair.until([&] { return client->is_closed(); }));
    return client;
  }

  const std::string kAttacker = std::string(32, 'a');
  LocalPair x_pair;
  std::unique_ptr<Connection> x_to_attacker;
};

TEST_F(LocalClosingTest, AFileThatIsSlowToCloseHoldsNoPort) {
  LingeringFile file;
  const auto client = stranger();
  const Instant begin = system_clock().now();
  file.give_to(client->socket());
  EXPECT_TRUE(x_pair.until([&] { return client->is_closed(); }));
  EXPECT_LT(system_clock().now() - begin, kAtOnce);
}

TEST_F(LocalClosingTest, AFileThatNobodyHasReadHoldsNoPort) {
  LingeringFile file;
  const Instant begin = system_clock().now();
  (void)leave_unread(file);
  EXPECT_LT(system_clock().now() - begin, kAtOnce);
}

// Its pages go with the last mapping, which takes its time.
TEST_F(LocalClosingTest, LargeMemoryOfAClientThatIsGoneIsUnmapped) {
  const auto maps = [] {
    std::ifstream file("/proc/self/maps");
    size_t count = 0;
    for (std::string line; std::getline(file, line);)
      count += line.find("memfd:test") != std::string::npos ? 1 : 0;
    return count;
  };
  const size_t before = maps();
  auto client = stranger();
  client->hello(kAttacker);
  ASSERT_TRUE(x_pair.until([&] { return client->take_welcome(); }));
  {
    const MemfdOfTests memory(100 * kMiB);
    client->pass(memory.fd(), 1, memory.memory().size());
  }
  ASSERT_TRUE(x_pair.until([&] { return maps() == before + 1; }));
  client.reset();
  EXPECT_TRUE(x_pair.until([&] { return maps() == before; }));
}

// What is not closed yet costs files of the server's, which serve everybody.
TEST_F(LocalClosingTest, NotMoreComeThanCanBeClosed) {
  constexpr size_t kStrangers = 120;
  fault::arm("fabric.local_close",
             {.action = fault::Action::hang, .times = 0, .delay_ms = kHangMs});
  std::vector<std::unique_ptr<RawClient>> strangers;
  for (size_t i = 0; i < kStrangers; ++i) {
    strangers.push_back(stranger());
    (void)::send(strangers.back()->socket().fd(), "GET /", 5, MSG_NOSIGNAL);
  }
  size_t most = 0;
  EXPECT_TRUE(x_pair.until([&] {
    most = std::max(most, files_to_close());
    std::erase_if(strangers, [](const auto& each) { return each->is_closed(); });
    return strangers.empty();
  }));
  EXPECT_LT(most, kClosingMany + 32) << "a few at a time are taken";
  const auto client = stranger();
  client->hello(kAttacker);
  EXPECT_TRUE(x_pair.until([&] { return client->take_welcome(); }));
}

}  // namespace
}  // namespace tarn::fabric
