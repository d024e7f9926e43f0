// What a server's port of the local fabric does when something runs out: files, mappings, or what
// the clients of one owner may hold. None of it is a client's broken rule, and nobody else pays.
#include <gtest/gtest.h>

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdio>
#include <thread>

#include "common/base/fault_point.h"
#include "common/base/units.h"
#include "common/fabric/local_closing.h"
#include "common/fabric/local_port.h"
#include "tests/unit/fabric/conformance.h"
#include "tests/unit/fabric/local_pair.h"
#include "tests/unit/fabric/local_raw_client.h"
#include "tests/unit/fabric/memfd_of_tests.h"

namespace tarn::fabric {
namespace {

constexpr Domain kOne{1};
constexpr Domain kOther{2};

// This process can open no file while it lives.
class NoMoreFiles {
 public:
  NoMoreFiles() {
    while (files_to_close() > 0)
      std::this_thread::yield();
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &x_before), 0);
    const int next = ::dup(STDERR_FILENO);
    EXPECT_GE(next, 0);
    ::close(next);
    rlimit none = x_before;
    none.rlim_cur = static_cast<rlim_t>(next);
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoMoreFiles() { ::setrlimit(RLIMIT_NOFILE, &x_before); }

 private:
  rlimit x_before{};
};

class LocalShortageTest : public testing::Test {
 protected:
  struct Client {
    std::string address;
    std::unique_ptr<Connection> way;
    std::unique_ptr<RawClient> raw;
    int lost = 0;
  };

  void TearDown() override { fault::disarm_all(); }

  void open(const LocalLimits& limits = {}) {
    x_memory->add({.id = 5, .memory = x_slab.memory(), .fd = x_slab.fd(), .domain = {}});
    x_port =
        LocalPort::open(
            {.folder = x_folder.folder(), .is_server = true, .memory = x_memory, .limits = limits})
            .value();
    x_port->set_keeper([this](Bytes) -> std::function<void()> {
      ++x_kept;
      return [this] { --x_kept; };
    });
    x_port->set_handler([this](uint64_t, Bytes, Payload& payload) {
      x_in.resize(payload.size());
      const MutableBytes into = x_in;
      payload.receive({&into, 1}, [this](Code code, uint32_t) { x_received.push_back(code); });
    });
  }

  bool until(const std::function<bool()>& condition) {
    const Instant end = system_clock().now() + std::chrono::seconds(10);
    while (!condition()) {
      if (system_clock().now() > end) return false;
      x_port->progress();
    }
    return true;
  }

  // The server's side of a client that has not come yet.
  std::unique_ptr<Client> agree(const Domain& owner) {
    auto client = std::make_unique<Client>();
    char digits[33];
    std::snprintf(digits, sizeof(digits), "%032x", ++x_clients);
    client->address = digits;
    client->way = x_port
                      ->connect_showing({.peer_address = client->address,
                                         .link = x_clients,
                                         .on_lost = [at = client.get()](Status) { ++at->lost; }},
                                        {}, owner)
                      .value();
    return client;
  }

  void knock(Client& client) {
    client.raw = std::make_unique<RawClient>(x_folder.folder(), x_port->address());
    client.raw->hello(client.address);
  }

  std::unique_ptr<Client> join(const Domain& owner) {
    auto client = agree(owner);
    knock(*client);
    EXPECT_TRUE(until([&] { return client->raw->take_welcome(); }));
    return client;
  }

  // Shows the client the slab, which pins what it may, and says nothing of it; how often it could.
  int view(Client& client) {
    const Bytes part = x_slab.memory();
    EXPECT_TRUE(client.way->send(bytes_of("block"), {&part, 1}, x_sends.done()).is_ok());
    int viewed = 0;
    for (auto& word : client.raw->answers().shown) {
      if (word == 0 || (word & kLocalPinned) != 0) continue;
      word |= kLocalPinned;
      ++viewed;
    }
    return viewed;
  }

  // What becomes of a payload in the buffer that the client passes as number `region`.
  Code put_from(Client& client, uint64_t region) {
    client.raw->pass(x_buffer.fd(), region, 4096);
    LocalRecord record;
    record.type = LocalRecord::Type::message;
    record.source = LocalRecord::Source::region;
    record.id = 256;
    record.payload_bytes = 4096;
    record.region = region;
    client.raw->write(record);
    const size_t before = x_received.size();
    const uint64_t told = client.raw->answers().tail;
    EXPECT_TRUE(until([&] { return x_received.size() > before || client.lost > 0; }));
    if (client.lost > 0) return Code::unavailable;
    EXPECT_TRUE(until([&] { return client.raw->answers().tail > told; })) << "a release";
    return x_received.back();
  }

  FolderOfTests x_folder;
  MemfdOfTests x_slab{kMiB};
  MemfdOfTests x_buffer{4096};
  const std::shared_ptr<LocalMemory> x_memory = std::make_shared<LocalMemory>();
  std::vector<std::byte> x_in;
  std::vector<Code> x_received;
  Sends x_sends;
  int x_kept = 0;
  unsigned x_clients = 0;
  std::unique_ptr<LocalPort> x_port;
};

// Its get is over, and with it what the server lent it; the block stays for who reads there.
TEST_F(LocalShortageTest, APinThatNobodyWasToldOfEndsItsSendWithTheConnection) {
  open();
  const auto client = join(kOne);
  ASSERT_EQ(view(*client), 1);
  client->way->close();
  EXPECT_TRUE(until([&] { return x_sends.ends[Code::cancelled] == 1; }));
  EXPECT_TRUE(x_port->idle());
  EXPECT_EQ(x_kept, 1) << "whoever reads there may still live";
  client->raw.reset();
  EXPECT_TRUE(until([&] { return x_kept == 0; }));
}

TEST_F(LocalShortageTest, EndedConnectionsOfAnOwnerThatHoldViewsAreFew) {
  LocalLimits limits;
  limits.owner_ended = 2;
  open(limits);
  const auto live = join(kOne);
  std::vector<std::unique_ptr<Client>> ended;
  for (size_t i = 0; i < limits.owner_ended; ++i) {
    ended.push_back(join(kOne));
    EXPECT_EQ(view(*ended.back()), 1);
    ended.back()->way->close();
  }
  EXPECT_EQ(view(*live), 0) << "shown, and not to be pinned";
  const auto late = agree(kOne);
  knock(*late);
  LocalNote note;
  int passed = -1;
  ASSERT_TRUE(until([&] { return late->raw->socket().receive(note, passed).is_ok(); }));
  EXPECT_EQ(note.type, LocalNote::Type::refused);
  EXPECT_NE(text_of(note).find("views"), std::string::npos) << text_of(note);
  EXPECT_EQ(view(*join(kOther)), 1) << "another owner does not suffer";

  ended.pop_back();
  EXPECT_TRUE(until([&] { return x_kept == 1; }));
  EXPECT_EQ(view(*live), 1);
  knock(*late);
  EXPECT_TRUE(until([&] { return late->raw->take_welcome(); }));
}

TEST_F(LocalShortageTest, AllConnectionsOfAnOwnerPinSoMuchTogether) {
  LocalLimits limits;
  limits.owner_pinned_bytes = kMiB;
  open(limits);
  auto first = join(kOne);
  const auto second = join(kOne);
  EXPECT_EQ(view(*first), 1);
  EXPECT_EQ(view(*second), 0);
  EXPECT_EQ(view(*join(kOther)), 1);
  first->raw.reset();
  EXPECT_TRUE(until([&] { return first->lost == 1; }));
  EXPECT_EQ(view(*second), 1);
}

TEST_F(LocalShortageTest, NoFileToSpareTakesNoViewsAway) {
  open();
  const auto client = join(kOne);
  ASSERT_EQ(view(*client), 1);
  client->raw->pass(x_buffer.fd(), 1, 4096);
  {
    const NoMoreFiles none;
    ASSERT_TRUE(until([&] { return client->lost == 1; }));
  }
  EXPECT_EQ(x_port->counters().bad_notes, 0u) << "no fault of the client's";
  EXPECT_EQ(x_kept, 1);
  client->raw.reset();
  EXPECT_TRUE(until([&] { return x_kept == 0; }));
}

TEST_F(LocalShortageTest, WithoutFilesTheListenerLetsTheThreadSleepAndTakesClientsLater) {
  open();
  const auto client = agree(kOne);
  knock(*client);
  {
    const NoMoreFiles none;
    EXPECT_TRUE(until([&] {
      x_port->arm();
      x_port->progress();
      pollfd ready{x_port->event_fd(), POLLIN, 0};
      return ::poll(&ready, 1, 0) == 0;
    }));
  }
  EXPECT_TRUE(until([&] { return client->raw->take_welcome(); }));
}

TEST_F(LocalShortageTest, ASocketThatCannotBeWatchedIsClosedAndNoMore) {
  open();
  const auto client = agree(kOne);
  fault::arm("fabric.local_watch", {.times = 0});
  knock(*client);
  EXPECT_TRUE(until([&] { return client->raw->is_closed(); }));
  const auto port = LocalPort::open({.folder = x_folder.folder()}).value();
  const auto connection =
      port->connect({.peer_address = x_port->address(), .link = 1, .on_lost = {}});
  ASSERT_FALSE(connection.has_value());
  EXPECT_EQ(connection.error().code(), Code::unavailable);
  fault::disarm_all();
  knock(*client);
  EXPECT_TRUE(until([&] { return client->raw->take_welcome(); }));
}

TEST_F(LocalShortageTest, PastTheMappingsOfAnOwnerItsPutsAreRefused) {
  LocalLimits limits;
  limits.owner_mappings = 2;
  open(limits);
  auto first = join(kOne);
  const auto second = join(kOne);
  EXPECT_EQ(put_from(*first, 1), Code::ok);
  EXPECT_EQ(put_from(*first, 2), Code::ok);
  EXPECT_EQ(put_from(*second, 1), Code::overloaded);
  EXPECT_EQ(put_from(*join(kOther), 1), Code::ok) << "another owner does not suffer";
  first->raw.reset();
  EXPECT_TRUE(until([&] { return first->lost == 1; }));
  EXPECT_EQ(put_from(*second, 2), Code::ok) << "the connection goes on";
  EXPECT_EQ(second->lost, 0);
  EXPECT_EQ(x_port->counters().bad_memory, 0u);
}

TEST_F(LocalShortageTest, APortMapsSoMuchOfAllOwnersTogether) {
  LocalLimits limits;
  limits.port_mappings = 2;
  open(limits);
  const auto one = join(kOne);
  auto other = join(kOther);
  EXPECT_EQ(put_from(*one, 1), Code::ok);
  EXPECT_EQ(put_from(*other, 1), Code::ok);
  EXPECT_EQ(put_from(*one, 2), Code::overloaded);
  other->raw.reset();
  EXPECT_TRUE(until([&] { return other->lost == 1; }));
  EXPECT_EQ(put_from(*one, 3), Code::ok);
}

TEST_F(LocalShortageTest, MemoryThatCannotBeMappedIsAMissAndNoLoss) {
  open();
  const auto client = join(kOne);
  fault::arm("fabric.local_map", {});
  EXPECT_EQ(put_from(*client, 1), Code::overloaded);
  EXPECT_EQ(put_from(*client, 2), Code::ok);
  EXPECT_EQ(client->lost, 0);
  EXPECT_EQ(x_port->counters().bad_memory, 0u);
}

// An engine that forks gives its child all its sockets, and the child outlives it.
TEST_F(LocalShortageTest, AChildThatHasTheSocketDoesNotKeepADeadClient) {
  open();
  const auto client = agree(kOne);
  int lives[2];
  ASSERT_EQ(::pipe(lives), 0);
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const pid_t engine = ::fork();
  if (engine == 0) {
    ::close(lives[1]);
    knock(*client);
    while (!client->raw->take_welcome()) {
      pollfd ready{client->raw->socket().fd(), POLLIN, 0};
      ::poll(&ready, 1, -1);
    }
    if (::fork() != 0) ::raise(SIGKILL);
    char none = 0;
    while (::read(lives[0], &none, 1) > 0) {
    }
    ::_exit(0);
  }
  ::close(lives[0]);
  EXPECT_TRUE(until([&] { return client->lost == 1; }));
  ::close(lives[1]);
  while (::waitpid(-1, nullptr, 0) > 0) {
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

}  // namespace
}  // namespace tarn::fabric
