// What the local fabric does beside what all fabrics do: memory that is shown instead of copied.
#include "common/fabric/local_port.h"

#include <gtest/gtest.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <ctime>
#include <fstream>
#include <optional>

#include "common/base/fault_point.h"
#include "common/base/units.h"
#include "tests/unit/fabric/conformance.h"
#include "tests/unit/fabric/local_pair.h"
#include "tests/unit/fabric/memfd_of_tests.h"

namespace tarn::fabric {
namespace {

constexpr Domain kMine{1};
constexpr Domain kForeign{2};

class LocalPortTest : public testing::Test {
 protected:
  explicit LocalPortTest(const LocalLimits& limits = forgetful()) : x_pair(limits) {}
  static LocalLimits forgetful() {
    LocalLimits limits;
    limits.declined_pause = std::chrono::hours(1);
    return limits;
  }

  void TearDown() override { fault::disarm_all(); }

  void connect(const Domain& may_map = kMine) {
    x_b_to_a = static_cast<LocalPort&>(x_pair.b())
                   .connect_showing({.peer_address = x_pair.a().address(),
                                     .link = 7,
                                     .on_lost = [this](Status) { ++x_b_lost; }},
                                    may_map)
                   .value();
    x_a_to_b = x_pair.connect_a(
        {.peer_address = {}, .link = 8, .on_lost = [this](Status) { ++x_a_lost; }});
    bool met = false;
    x_pair.b().set_handler([&](uint64_t, Bytes, Payload&) { met = true; });
    ASSERT_TRUE(x_a_to_b->send(bytes_of("hello"), {}, {}).is_ok());
    ASSERT_TRUE(x_pair.until([&] { return met; }));
    x_pair.b().set_handler({});
  }

  // The server's memory, as a slab of the domain.
  void show_slab(const Domain& domain) {
    x_pair.b_memory->add({.id = 5, .memory = x_slab.memory(), .fd = x_slab.fd(), .domain = domain});
  }

  // b sends `bytes` of its slab and a receives them; false when they are not the same.
  bool get(size_t offset, size_t bytes) {
    std::vector<std::byte> in(bytes);
    Code code = Code::internal;
    uint32_t crc = 0;
    x_pair.a().set_handler([&](uint64_t, Bytes, Payload& payload) {
      const MutableBytes into = in;
      payload.receive({&into, 1}, [&](Code ended, uint32_t of) { code = ended, crc = of; });
    });
    const Bytes part = x_slab.memory().subspan(offset, bytes);
    const Status sent = x_b_to_a->send(bytes_of("get"), {&part, 1}, x_sends.done());
    if (!sent.is_ok()) return false;
    const int before = x_sends.total();
    EXPECT_TRUE(x_pair.until([&] { return code != Code::internal && x_sends.total() > before; }));
    return code == Code::ok && std::equal(in.begin(), in.end(), part.begin()) &&
           crc == block::crc32c(0, part.data(), part.size());
  }

  // b sends a block of its slab, and a looks at it where it lies.
  Result<View> view(Bytes part) {
    Result<View> seen = not_found("nothing came");
    bool came = false;
    x_pair.a().set_handler([&](uint64_t, Bytes, Payload& payload) {
      seen = payload.view();
      came = true;
    });
    EXPECT_TRUE(x_b_to_a->send(bytes_of("view"), {&part, 1}, x_sends.done()).is_ok());
    EXPECT_TRUE(x_pair.until([&] { return came; }));
    return seen;
  }

  // The client's memory, as a Buffer.
  void show_buffer() {
    x_pair.a_memory->add({.id = 1, .memory = x_buffer.memory(), .fd = x_buffer.fd(), .domain = {}});
  }

  // a sends its buffer; what became of that at b.
  Code put() {
    std::vector<std::byte> in(x_buffer.memory().size());
    std::optional<Code> code;
    x_pair.b().set_handler([&](uint64_t, Bytes, Payload& payload) {
      const MutableBytes into = in;
      payload.receive({&into, 1}, [&](Code ended, uint32_t) { code = ended; });
    });
    const Bytes part = x_buffer.memory();
    const int before = x_sends.total();
    EXPECT_TRUE(x_a_to_b->send(bytes_of("put"), {&part, 1}, x_sends.done()).is_ok());
    EXPECT_TRUE(x_pair.until([&] { return code.has_value() && x_sends.total() > before; }));
    x_pair.until([n = 0]() mutable { return ++n > 20; });  // what they owe each other
    return code.value_or(Code::internal);
  }

  void fill_slab() {
    const auto bytes = pattern(x_slab.memory().size(), 3);
    std::copy(bytes.begin(), bytes.end(), x_slab.memory().begin());
  }

  LocalPair x_pair;
  MemfdOfTests x_slab{8 * kMiB, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL};
  MemfdOfTests x_buffer{kMiB};
  std::unique_ptr<Connection> x_a_to_b;
  std::unique_ptr<Connection> x_b_to_a;
  Sends x_sends;
  int x_a_lost = 0;
  int x_b_lost = 0;
};

class LocalPortAskingAtOnce : public LocalPortTest {
 protected:
  LocalPortAskingAtOnce() : LocalPortTest({.declined_pause = Nanos(0)}) {}
};

TEST_F(LocalPortTest, ASlabOfThePeersDomainIsReadWhereItLies) {
  fill_slab();
  show_slab(kMine);
  connect();
  EXPECT_TRUE(get(4096, 2 * kMiB));
  EXPECT_TRUE(get(0, 8 * kMiB)) << "in several visits";
  EXPECT_TRUE(get(8 * kMiB - 1, 1));
  EXPECT_EQ(x_pair.counters_of_b().bounced_bytes, 0u);
  EXPECT_EQ(x_pair.counters_of_b().shown_bytes, 10 * kMiB + 1);
  EXPECT_EQ(x_sends.ends[Code::ok], 3);
}

TEST_F(LocalPortTest, ASlabOfAnotherDomainIsCopied) {
  fill_slab();
  show_slab(kForeign);
  connect();
  EXPECT_TRUE(get(4096, 3 * kMiB));
  EXPECT_EQ(x_pair.counters_of_b().shown_bytes, 0u);
  EXPECT_EQ(x_pair.counters_of_b().bounced_bytes, 3 * kMiB);
}

TEST_F(LocalPortTest, APeerThatMayMapNothingGetsCopies) {
  fill_slab();
  show_slab(kMine);
  connect({});
  EXPECT_TRUE(get(0, kMiB));
  EXPECT_EQ(x_pair.counters_of_b().shown_bytes, 0u);
}

TEST_F(LocalPortTest, APeerThatTakesNoFilesGetsCopies) {
  fill_slab();
  show_slab(kMine);
  connect();
  fault::arm("fabric.local_announce", {.times = 0});
  EXPECT_TRUE(get(0, kMiB));
  EXPECT_EQ(x_pair.counters_of_b().shown_bytes, 0u);
}

TEST_F(LocalPortTest, AClientsBufferIsReadByTheServerWhereItLies) {
  MemfdOfTests buffer(4 * kMiB);
  const auto bytes = pattern(buffer.memory().size(), 5);
  std::copy(bytes.begin(), bytes.end(), buffer.memory().begin());
  x_pair.a_memory->add({.id = 1, .memory = buffer.memory(), .fd = buffer.fd(), .domain = {}});
  connect();
  std::vector<std::byte> in(buffer.memory().size());
  Code code = Code::internal;
  x_pair.b().set_handler([&](uint64_t, Bytes, Payload& payload) {
    const MutableBytes into = in;
    payload.receive({&into, 1}, [&](Code ended, uint32_t) { code = ended; });
  });
  const Bytes part = buffer.memory();
  ASSERT_TRUE(x_a_to_b->send(bytes_of("put"), {&part, 1}, x_sends.done()).is_ok());
  ASSERT_TRUE(x_pair.until([&] { return code == Code::ok && x_sends.total() == 1; }));
  EXPECT_TRUE(in == bytes);
  EXPECT_EQ(x_pair.counters_of_a().bounced_bytes, 0u);
}

// A server without room for a buffer says so, and its bytes come by another way.
TEST_F(LocalPortTest, ABufferThatTheServerCannotMapIsBounced) {
  show_buffer();
  connect();
  fault::arm("fabric.local_map", {});
  EXPECT_EQ(put(), Code::overloaded) << "under way when the server had no room";
  for (uint64_t bounced = 1; bounced <= 3; ++bounced) {
    EXPECT_EQ(put(), Code::ok);
    EXPECT_EQ(x_pair.counters_of_a().bounced_bytes, bounced * x_buffer.memory().size());
  }
  EXPECT_EQ(x_a_lost + x_b_lost, 0);
}

TEST_F(LocalPortAskingAtOnce, ABufferThatTheServerCouldNotMapIsPassedAgain) {
  show_buffer();
  connect();
  fault::arm("fabric.local_map", {.times = 2});
  EXPECT_EQ(put(), Code::overloaded);
  EXPECT_EQ(put(), Code::overloaded) << "asked anew, still without room";
  EXPECT_EQ(put(), Code::ok);
  EXPECT_EQ(x_pair.counters_of_a().bounced_bytes, 0u);
  EXPECT_EQ(x_a_lost + x_b_lost, 0);
}

TEST_F(LocalPortTest, ASlabThatTheClientCannotMapIsBouncedToIt) {
  fill_slab();
  show_slab(kMine);
  connect();
  fault::arm("fabric.local_map", {});
  EXPECT_FALSE(get(0, kMiB)) << "shown before the client had no room";
  EXPECT_TRUE(get(0, kMiB));
  EXPECT_EQ(x_pair.counters_of_b().bounced_bytes, kMiB);
  x_pair.b_memory->remove(5);
  EXPECT_TRUE(get(0, kMiB)) << "declined, and gone before it was asked again";
  EXPECT_EQ(x_a_lost + x_b_lost, 0);
}

// Each bell wakes a thread of the server: a client that copies for long rings once.
TEST_F(LocalPortTest, AClientWithMuchToCopyLetsTheServerSleepForAWhile) {
  fill_slab();
  show_slab(kMine);
  connect();
  std::vector<std::byte> in(8 * kMiB);
  bool landed = false;
  x_pair.a().set_handler([&](uint64_t, Bytes, Payload& payload) {
    const MutableBytes into = in;
    payload.receive({&into, 1}, [&](Code, uint32_t) { landed = true; });
  });
  const Bytes part = x_slab.memory();
  ASSERT_TRUE(x_b_to_a->send(bytes_of("get"), {&part, 1}, x_sends.done()).is_ok());
  while (x_pair.a().progress() == 0) {
  }
  const auto is_called = [&] {
    pollfd readable{x_pair.b().event_fd(), POLLIN, 0};
    return ::poll(&readable, 1, 0) > 0;
  };
  do {
    x_pair.b().progress();
  } while (!x_pair.b().arm() || is_called());
  ASSERT_TRUE(x_a_to_b->send(bytes_of("next"), {}, {}).is_ok());
  EXPECT_FALSE(is_called());
  int visits = 0;
  for (; !is_called() && visits < 100; ++visits)
    x_pair.a().progress();
  EXPECT_GE(visits, 2);
  EXPECT_FALSE(landed) << "long before the end of so large a block";
  EXPECT_TRUE(x_pair.until([&] { return landed && x_sends.total() == 1; }));
}

TEST_F(LocalPortTest, MemoryThatIsGoneIsUnmappedByThePeer) {
  fill_slab();
  show_slab(kMine);
  connect();
  EXPECT_TRUE(get(0, 4096));
  const auto maps = [] {
    std::ifstream file("/proc/self/maps");
    int count = 0;
    for (std::string line; std::getline(file, line);)
      count += line.find("memfd:test") != std::string::npos ? 1 : 0;
    return count;
  };
  const int with_view = maps();
  x_pair.b_memory->remove(5);
  EXPECT_TRUE(x_pair.until([&] { return maps() == with_view - 1; })) << "the client's is gone";
  EXPECT_TRUE(get(0, 4096)) << "copied from now on";
}

TEST_F(LocalPortTest, AViewHoldsTheBytesUntilItIsReleased) {
  fill_slab();
  show_slab(kMine);
  connect();
  const Bytes part = x_slab.memory().subspan(4096, 100'000);
  auto seen = view(part);
  ASSERT_TRUE(seen.has_value()) << seen.error().to_string();
  EXPECT_TRUE(std::equal(part.begin(), part.end(), seen->bytes.begin(), seen->bytes.end()));
  EXPECT_NE(part.data(), seen->bytes.data()) << "another mapping of the same pages";
  x_pair.until([n = 0]() mutable { return ++n > 50; });
  EXPECT_EQ(x_sends.total(), 0) << "pinned";
  seen->release();
  seen->release();
  EXPECT_TRUE(x_pair.until([&] { return x_sends.ends[Code::ok] == 1; }));
}

// The deadline of a get closes the connection by force; a view's bytes stay all the same.
TEST_F(LocalPortTest, AViewOutlivesTheConnectionUntilTheClientLetsGo) {
  fill_slab();
  show_slab(kMine);
  connect();
  const Bytes part = x_slab.memory().first(100'000);
  auto seen = view(part);
  ASSERT_TRUE(seen.has_value()) << seen.error().to_string();
  x_b_to_a->close();
  EXPECT_TRUE(x_pair.until([&] { return x_a_lost == 1; }));
  x_pair.until([n = 0]() mutable { return ++n > 500; });
  EXPECT_EQ(x_sends.total(), 0) << "pinned";
  EXPECT_TRUE(std::equal(part.begin(), part.end(), seen->bytes.begin()));
  seen->release();
  EXPECT_TRUE(x_pair.until([&] { return x_sends.ends[Code::cancelled] == 1; }));
}

TEST_F(LocalPortTest, WhatIsKeptForAViewEndsItsSend) {
  fill_slab();
  show_slab(kMine);
  int kept = 0;
  static_cast<LocalPort&>(x_pair.b()).set_keeper([&](Bytes bytes) -> std::function<void()> {
    EXPECT_EQ(bytes.data(), x_slab.memory().data());
    ++kept;
    return [&] { --kept; };
  });
  connect();
  auto seen = view(x_slab.memory().first(5000));
  ASSERT_TRUE(seen.has_value()) << seen.error().to_string();
  EXPECT_TRUE(x_pair.until([&] { return x_sends.ends[Code::ok] == 1; }));
  EXPECT_TRUE(x_pair.until([&] { return x_pair.b().idle(); })) << "a view is no work";
  EXPECT_EQ(kept, 1);
  x_b_to_a->close();
  EXPECT_TRUE(x_pair.until([&] { return x_a_lost == 1; }));
  EXPECT_EQ(kept, 1);
  seen->release();
  EXPECT_TRUE(x_pair.until([&] { return kept == 0; }));
  EXPECT_EQ(x_sends.total(), 1);
}

// A ring that is full for a moment is no reason for a get to wait for its deadline.
TEST_F(LocalPortTest, AViewIsToldOfWhenTheRingHasRoomAgain) {
  show_slab(kMine);
  int kept = 0;
  static_cast<LocalPort&>(x_pair.b()).set_keeper([&](Bytes) -> std::function<void()> {
    ++kept;
    return [&] { --kept; };
  });
  connect();
  for (const bool is_released_early : {false, true}) {
    const int before = x_sends.ends[Code::ok];
    for (uint64_t i = 0; i < kLocalCells; ++i)
      (void)x_a_to_b->send(bytes_of("x"), {}, {});
    Result<View> seen = not_found("nothing came");
    x_pair.a().set_handler([&](uint64_t, Bytes, Payload& payload) { seen = payload.view(); });
    const Bytes part = x_slab.memory().first(5000);
    ASSERT_TRUE(x_b_to_a->send(bytes_of("view"), {&part, 1}, x_sends.done()).is_ok());
    for (int i = 0; i < 100 && !seen.has_value(); ++i)
      x_pair.a().progress();
    ASSERT_TRUE(seen.has_value()) << seen.error().to_string();
    if (is_released_early) seen->release();
    EXPECT_TRUE(x_pair.until([&] { return x_sends.ends[Code::ok] == before + 1; }));
    EXPECT_EQ(kept, is_released_early ? 0 : 1);
    seen->release();
    EXPECT_TRUE(x_pair.until([&] { return kept == 0 && x_pair.a().idle(); }));
  }
  EXPECT_EQ(x_pair.counters_of_b().bad_records, 0u);
  EXPECT_EQ(x_b_lost, 0);
}

TEST_F(LocalPortTest, ViewsPastTheCapAreRefusedAndCanBeCopied) {
  constexpr size_t kCap = 256 << 20;
  fill_slab();
  show_slab(kMine);
  static_cast<LocalPort&>(x_pair.b()).set_keeper([](Bytes) {
    return std::function<void()>([] {});
  });
  connect();
  std::vector<View> held;
  const Bytes whole = x_slab.memory();
  for (size_t bytes = 0; bytes < kCap; bytes += whole.size()) {
    auto seen = view(whole);
    ASSERT_TRUE(seen.has_value()) << bytes;
    held.push_back(*std::move(seen));
    const int before = static_cast<int>(held.size());
    ASSERT_TRUE(x_pair.until([&] { return x_sends.total() == before; }));
  }
  const auto refused = view(whole);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Code::overloaded);
  EXPECT_TRUE(get(0, kMiB)) << "a copy is always there";
  held.back().release();
  held.pop_back();
  EXPECT_TRUE(x_pair.until([&] { return view(whole).has_value(); }));
  for (View& each : held)
    each.release();
}

// Views take places that gets need; they may not have them all.
TEST_F(LocalPortTest, HoweverManyViewsAreHeldGetsGoOn) {
  fill_slab();
  show_slab(kMine);
  static_cast<LocalPort&>(x_pair.b()).set_keeper([](Bytes) {
    return std::function<void()>([] {});
  });
  connect();
  std::vector<View> held;
  for (int refused = 0; refused < 3;) {
    auto seen = view(x_slab.memory().first(4096));
    if (!seen) {
      EXPECT_EQ(seen.error().code(), Code::overloaded);
      ++refused;
      continue;
    }
    held.push_back(*std::move(seen));
    ASSERT_LE(held.size(), kLocalShownMax);
    ASSERT_TRUE(x_pair.until([&] { return x_pair.b().idle(); }));
  }
  EXPECT_EQ(held.size(), kLocalShownMax / 2);
  EXPECT_TRUE(get(0, kMiB));
  for (View& each : held)
    each.release();
}

TEST_F(LocalPortTest, AViewOutlivesTheClientsOwnClose) {
  fill_slab();
  show_slab(kMine);
  connect();
  auto seen = view(x_slab.memory().first(5000));
  ASSERT_TRUE(seen.has_value()) << seen.error().to_string();
  x_a_to_b->close();
  EXPECT_TRUE(x_pair.until([&] { return x_b_lost == 1; }));
  EXPECT_EQ(x_sends.total(), 0) << "pinned";
  seen->release();
  EXPECT_TRUE(x_pair.until([&] { return x_sends.total() == 1; }));
}

TEST_F(LocalPortTest, BytesThatWereCopiedHaveNoView) {
  fill_slab();
  connect();
  const auto seen = view(x_slab.memory().first(5000));
  ASSERT_FALSE(seen.has_value());
  EXPECT_EQ(seen.error().code(), Code::unsupported);
}

TEST_F(LocalPortTest, OnlyTheConnectionAgreedOnIsServed) {
  x_a_to_b =
      x_pair.connect_a({.peer_address = {}, .link = 8, .on_lost = [this](Status why) {
                          ++x_a_lost;
                          EXPECT_NE(why.message().find("no such connection"), std::string::npos)
                              << why.to_string();
                        }});
  EXPECT_TRUE(x_pair.until([&] { return x_a_lost == 1; }));
  EXPECT_EQ(x_pair.counters_of_b().refused_hellos, 1u);
}

TEST_F(LocalPortTest, NoMemoryForAConnectionIsALossAndNoMore) {
  x_b_to_a = x_pair.connect_b({});
  {
    fault::arm("fabric.local_area", {.times = 0});
    x_a_to_b = x_pair.connect_a(
        {.peer_address = {}, .link = 8, .on_lost = [this](Status) { ++x_a_lost; }});
    EXPECT_TRUE(x_pair.until([&] { return x_a_lost == 1; }));
    fault::disarm_all();
  }
  connect();
}

TEST_F(LocalPortTest, NobodyListeningIsUnavailable) {
  fault::arm("fabric.local_connect", {.times = 0});
  const auto connection =
      x_pair.a().connect({.peer_address = x_pair.b().address(), .link = 8, .on_lost = {}});
  ASSERT_FALSE(connection.has_value());
  EXPECT_EQ(connection.error().code(), Code::unavailable);
}

TEST_F(LocalPortTest, ASendThatFailsSaysSo) {
  connect();
  fault::arm("fabric.local_send", {.times = 0});
  EXPECT_EQ(x_a_to_b->send(bytes_of("x"), {}, {}).code(), Code::unavailable);
}

TEST(LocalFolderTest, TheSameFolderHasOneFingerprintAndOthersHaveOthers) {
  const FolderOfTests one, other;
  const std::string link = one.folder().path + "/link";
  ASSERT_EQ(symlink(one.folder().path.c_str(), link.c_str()), 0);
  EXPECT_EQ(LocalFolder::open(link, false)->fingerprint, one.folder().fingerprint);
  EXPECT_NE(one.folder().fingerprint, other.folder().fingerprint);
}

TEST(LocalFolderTest, OneThatStrangersMayChangeIsRefused) {
  const FolderOfTests folder;
  const std::string& path = folder.folder().path;
  ASSERT_EQ(chmod(path.c_str(), 0777), 0);
  const auto opened = LocalFolder::open(path, false);
  ASSERT_FALSE(opened.has_value());
  EXPECT_NE(opened.error().message().find("local_dir"), std::string::npos);
  ASSERT_EQ(chmod(path.c_str(), 01777), 0);
  EXPECT_TRUE(LocalFolder::open(path, false).has_value()) << "sticky, as /tmp";
  EXPECT_EQ(LocalFolder::open(path + "/none", false).error().code(), Code::not_found);
  EXPECT_EQ(LocalFolder::open("/dev/null", false).error().code(), Code::invalid_argument);
}

// Whoever owns the folder can put a socket in the place of a server's.
TEST(LocalFolderTest, OneThatNobodyNamedHasToBeTheUsersOwn) {
  const FolderOfTests folder;
  const std::string& path = folder.folder().path;
  constexpr auto kOurs = LocalFolder::Owner::user_or_root;
  EXPECT_TRUE(LocalFolder::open(path, false, kOurs).has_value());
  EXPECT_TRUE(LocalFolder::open("/usr", false, kOurs).has_value()) << "root's";
  // Only root can give a folder away; for anybody else it stays their own.
  const bool is_given_away = chown(path.c_str(), 12345, 12345) == 0;
  EXPECT_EQ(is_given_away, geteuid() == 0);
  const auto opened = LocalFolder::open(path, false, kOurs);
  ASSERT_EQ(opened.has_value(), !is_given_away);
  if (is_given_away) {
    EXPECT_NE(opened.error().message().find("another user"), std::string::npos);
  }
  EXPECT_TRUE(LocalFolder::open(path, false).has_value()) << "named, and so trusted";
}

TEST(LocalFolderTest, TheEnvironmentNamesTheDefaultOne) {
  const FolderOfTests folder;
  ASSERT_EQ(setenv("TARN_LOCAL_DIR", folder.folder().path.c_str(), 1), 0);
  const auto opened = LocalFolder::open_default(false);
  unsetenv("TARN_LOCAL_DIR");
  ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
  EXPECT_EQ(opened->fingerprint, folder.folder().fingerprint);
}

// A client that comes before the first server of a host uses shared memory all the same.
TEST(LocalFolderTest, ClientsNeedNotComeAfterTheirServer) {
  const FolderOfTests folder;
  const std::string missing = folder.folder().path + "/missing";
  ASSERT_EQ(setenv("TARN_LOCAL_DIR", missing.c_str(), 1), 0);
  const auto named = LocalFolder::open_default(false);
  unsetenv("TARN_LOCAL_DIR");
  EXPECT_FALSE(named.has_value()) << "perhaps meant for another user";
  const auto by_client = LocalFolder::open_default(false);
  ASSERT_TRUE(by_client.has_value()) << by_client.error().to_string();
  EXPECT_EQ(by_client->fingerprint, LocalFolder::open_default(true)->fingerprint);
}

// Of a server that was killed before it listened; one that is about to keeps its own.
TEST(LocalFolderTest, SocketsThatWereNeverFinishedAreSweptWhenTheyAreOld) {
  const FolderOfTests folder;
  const std::string path = folder.folder().path + "/0123456789abcdef.sock.new";
  const LocalSocket early(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  ASSERT_EQ(::bind(early.fd(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  sweep(folder.folder());
  EXPECT_TRUE(std::filesystem::exists(path)) << "it may be about to listen";
  const timespec old[2] = {{::time(nullptr) - 120, 0}, {::time(nullptr) - 120, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), old, 0), 0);
  sweep(folder.folder());
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(LocalFolderTest, SocketsOfTheDeadAreSwept) {
  const FolderOfTests folder;
  const auto count = [&] {
    const std::filesystem::directory_iterator all(folder.folder().path);
    return std::distance(begin(all), end(all));
  };
  const auto alive = LocalPort::open({.folder = folder.folder(), .is_server = true}).value();
  {
    const auto dead = LocalSocket::listen(folder.folder()).value();
    EXPECT_EQ(count(), 2);
  }
  sweep(folder.folder());
  EXPECT_EQ(count(), 1);
  const auto client = LocalPort::open({.folder = folder.folder()}).value();
  EXPECT_TRUE(
      client->connect({.peer_address = alive->address(), .link = 1, .on_lost = {}}).has_value());
}

}  // namespace
}  // namespace tarn::fabric
