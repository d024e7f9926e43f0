// A client that breaks every rule of the local fabric: each is counted by cause, costs it its
// connection, and costs nobody else anything.
#include <gtest/gtest.h>

#include <sys/socket.h>

#include <random>

#include "common/base/units.h"
#include "tests/unit/fabric/conformance.h"
#include "tests/unit/fabric/local_pair.h"
#include "tests/unit/fabric/local_raw_client.h"
#include "tests/unit/fabric/memfd_of_tests.h"

namespace tarn::fabric {
namespace {

LocalRecord record_of(LocalRecord::Type type,
                      LocalRecord::Source source = LocalRecord::Source::none,
                      uint64_t payload_bytes = 0) {
  LocalRecord record;
  record.type = type;
  record.source = source;
  record.payload_bytes = payload_bytes;
  return record;
}

struct Attack {
  const char* name;
  std::function<void(RawClient&)> run;
  uint64_t LocalCounters::*counter;
};

using Type = LocalRecord::Type;
using Source = LocalRecord::Source;

std::vector<Attack> index_attacks() {
  constexpr auto kIndices = &LocalCounters::bad_indices;
  return {
      {"MoreCellsThanThereAre", [](RawClient& c) { c.requests().tail = kLocalCells + 1; },
       kIndices},
      {"TailBeforeHead", [](RawClient& c) { c.requests().tail = UINT64_MAX; }, kIndices},
      {"HeaderTooLong",
       [](RawClient& c) {
         LocalRecord record = record_of(Type::message);
         record.header_bytes = kHeaderBytesMax + 1;
         c.write(record, 200);
       },
       kIndices},
      {"HeaderPastTheTail",
       [](RawClient& c) {
         LocalRecord record = record_of(Type::message);
         record.header_bytes = 65;
         c.write(record, 2);
       },
       kIndices},
  };
}

std::vector<Attack> record_attacks() {
  constexpr auto kRecords = &LocalCounters::bad_records;
  return {
      {"NoType", [](RawClient& c) { c.write(record_of(Type::none)); }, kRecords},
      {"UnknownType", [](RawClient& c) { c.write(record_of(static_cast<Type>(200))); }, kRecords},
      {"UnknownSource",
       [](RawClient& c) { c.write(record_of(Type::message, static_cast<Source>(9))); }, kRecords},
      {"PayloadFromNowhere",
       [](RawClient& c) { c.write(record_of(Type::message, Source::none, 10)); }, kRecords},
      {"BouncedNothing", [](RawClient& c) { c.write(record_of(Type::message, Source::bounce, 0)); },
       kRecords},
      {"TwoBouncedAtOnce",
       [](RawClient& c) {
         c.write(record_of(Type::message, Source::bounce, 10));
         c.write(record_of(Type::message, Source::bounce, 10));
       },
       kRecords},
      {"DataOfNoMessage",
       [](RawClient& c) {
         LocalRecord record = record_of(Type::data);
         record.length = 10;
         c.write(record);
       },
       kRecords},
      {"MoreDataThanSaid",
       [](RawClient& c) {
         c.write(record_of(Type::message, Source::bounce, 10));
         LocalRecord record = record_of(Type::data);
         record.length = 11;
         c.write(record);
       },
       kRecords},
      {"DataPastTheBounceArea",
       [](RawClient& c) {
         c.write(record_of(Type::message, Source::bounce, 1ull << 40));
         LocalRecord record = record_of(Type::data);
         record.length = kLocalBounceBytes + 1;
         c.write(record);
       },
       kRecords},
  };
}

std::vector<Attack> shown_attacks() {
  constexpr auto kRecords = &LocalCounters::bad_records;
  return {
      {"ReleaseOfWhatWasNotShown",
       [](RawClient& c) {
         LocalRecord record = record_of(Type::release);
         record.id = 256;
         c.write(record);
       },
       kRecords},
      {"MemoryThatWasNotPassed",
       [](RawClient& c) { c.write(record_of(Type::message, Source::region, 10)); }, kRecords},
      {"MemoryPastItsEnd",
       [](RawClient& c) {
         const MemfdOfTests memory(4096);
         c.pass(memory.fd(), 1, 4096);
         LocalRecord record = record_of(Type::message, Source::region, 4096);
         record.region = 1;
         record.offset = 1;
         c.write(record);
       },
       kRecords},
      {"MemoryAroundTheEndOfNumbers",
       [](RawClient& c) {
         const MemfdOfTests memory(4096);
         c.pass(memory.fd(), 1, 4096);
         LocalRecord record = record_of(Type::message, Source::region, 100);
         record.region = 1;
         record.offset = UINT64_MAX - 50;
         c.write(record);
       },
       kRecords},
  };
}

std::vector<Attack> memory_attacks() {
  constexpr auto kMemory = &LocalCounters::bad_memory;
  return {
      {"MemoryWithoutSeals",
       [](RawClient& c) {
         const MemfdOfTests memory(4096, 0);
         c.pass(memory.fd(), 1, 4096);
       },
       kMemory},
      {"MemoryThatMayShrink",
       [](RawClient& c) {
         const MemfdOfTests memory(4096, F_SEAL_GROW);
         c.pass(memory.fd(), 1, 4096);
       },
       kMemory},
      {"MemoryThatIsShorterThanSaid",
       [](RawClient& c) {
         const MemfdOfTests memory(4096);
         c.pass(memory.fd(), 1, 8192);
       },
       kMemory},
      {"NoBytes",
       [](RawClient& c) {
         const MemfdOfTests memory(4096);
         c.pass(memory.fd(), 1, 0);
       },
       kMemory},
      {"AFileThatIsNoMemory",
       [](RawClient& c) {
         const int fd = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
         c.pass(fd, 1, 4096);
         ::close(fd);
       },
       kMemory},
      {"TheSameNumberTwice",
       [](RawClient& c) {
         const MemfdOfTests memory(4096);
         c.pass(memory.fd(), 1, 4096);
         c.pass(memory.fd(), 1, 4096);
       },
       kMemory},
      {"MoreBytesThanMayBeMapped",
       [](RawClient& c) {
         const MemfdOfTests memory(4096);
         c.pass(memory.fd(), 1, kLocalBufferBytesMax + 1);
       },
       kMemory},
      {"TooManyFiles",
       [](RawClient& c) {
         const MemfdOfTests memory(4096);
         for (uint64_t id = 0; id <= kLocalBuffersMax; ++id)
           c.pass(memory.fd(), id, 4096);
       },
       kMemory},
  };
}

std::vector<Attack> note_attacks() {
  constexpr auto kNotes = &LocalCounters::bad_notes;
  return {
      {"AFileWithABell", [](RawClient& c) { (void)c.socket().send(LocalNote{}, STDERR_FILENO); },
       kNotes},
      {"ASecondHello", [](RawClient& c) { c.hello("x"); }, kNotes},
      {"AWelcome",
       [](RawClient& c) {
         LocalNote note;
         note.type = LocalNote::Type::welcome;
         (void)c.socket().send(note, STDERR_FILENO);
       },
       kNotes},
      {"AnUnknownNote",
       [](RawClient& c) {
         LocalNote note;
         note.type = static_cast<LocalNote::Type>(77);
         (void)c.socket().send(note);
       },
       kNotes},
      {"ANoteOfAnotherProtocol",
       [](RawClient& c) {
         LocalNote note;
         note.magic = 1;
         (void)c.socket().send(note);
       },
       kNotes},
      {"HalfANote", [](RawClient& c) { (void)::send(c.socket().fd(), "GET /", 5, MSG_NOSIGNAL); },
       kNotes},
  };
}

class HostileTest : public testing::Test {
 protected:
  void SetUp() override {
    x_to_attacker =
        x_pair.b()
            .connect(
                {.peer_address = kAttacker, .link = 66, .on_lost = [this](Status) { ++x_lost; }})
            .value();
    // Somebody else, who is served all the time.
    x_b_to_a = x_pair.connect_b({.peer_address = {}, .link = 7, .on_lost = {}});
    x_a_to_b = x_pair.connect_a({.peer_address = {}, .link = 8, .on_lost = {}});
    x_pair.b().set_handler([this](uint64_t link, Bytes, Payload& payload) {
      ++x_messages[link];
      // Some payloads are taken, others refused.
      if (payload.size() > x_in.size() || x_messages[link] % 2 == 0) return;
      const MutableBytes into = MutableBytes(x_in).first(payload.size());
      payload.receive({&into, 1}, [](Code, uint32_t) {});
    });
  }

  std::unique_ptr<RawClient> attacker() {
    auto client = std::make_unique<RawClient>(x_pair.folder(), x_pair.b().address());
    client->hello(kAttacker);
    EXPECT_TRUE(x_pair.until([&] { return client->take_welcome(); }));
    return client;
  }

  void expect_others_are_served() {
    const int before = x_messages[7];
    ASSERT_TRUE(x_a_to_b->send(bytes_of("well?"), {}, {}).is_ok());
    ASSERT_TRUE(x_pair.until([&] { return x_messages[7] == before + 1; }));
  }

  const std::string kAttacker = std::string(32, 'a');
  LocalPair x_pair;
  std::unique_ptr<Connection> x_to_attacker;
  std::unique_ptr<Connection> x_a_to_b;
  std::unique_ptr<Connection> x_b_to_a;
  std::map<uint64_t, int> x_messages;
  std::vector<std::byte> x_in = std::vector<std::byte>(100'000);
  int x_lost = 0;
};

class EachAttack : public HostileTest, public testing::WithParamInterface<Attack> {};

TEST_P(EachAttack, IsCountedAndCostsItsConnection) {
  auto client = attacker();
  ASSERT_EQ(x_pair.counters_of_b().*GetParam().counter, 0u);
  GetParam().run(*client);
  ASSERT_TRUE(x_pair.until([&] { return client->is_closed(); }));
  EXPECT_EQ(x_pair.counters_of_b().*GetParam().counter, 1u);
  EXPECT_EQ(x_lost, 1);
  EXPECT_EQ(x_to_attacker->send(bytes_of("x"), {}, {}).code(), Code::unavailable);
  expect_others_are_served();
}

std::string name_of(const testing::TestParamInfo<Attack>& each) {
  return each.param.name;
}

INSTANTIATE_TEST_SUITE_P(Index, EachAttack, testing::ValuesIn(index_attacks()), name_of);
INSTANTIATE_TEST_SUITE_P(Record, EachAttack, testing::ValuesIn(record_attacks()), name_of);
INSTANTIATE_TEST_SUITE_P(Shown, EachAttack, testing::ValuesIn(shown_attacks()), name_of);
INSTANTIATE_TEST_SUITE_P(Memory, EachAttack, testing::ValuesIn(memory_attacks()), name_of);
INSTANTIATE_TEST_SUITE_P(Note, EachAttack, testing::ValuesIn(note_attacks()), name_of);

// The words that the server reads when it writes: taken for lies as soon as they matter.
TEST_F(HostileTest, AHeadThatCannotBeIsNoticedWhenTheRingIsFull) {
  auto client = attacker();
  client->answers().head = 1ull << 40;
  Status sent;
  for (uint64_t i = 0; i < 2 * (kLocalCells + kLocalQueueMax) && sent.is_ok(); ++i)
    sent = x_to_attacker->send(bytes_of("answer"), {}, {});
  ASSERT_TRUE(x_pair.until([&] { return x_lost == 1; }));
  EXPECT_EQ(x_pair.counters_of_b().bad_indices, 1u);
  expect_others_are_served();
}

TEST_F(HostileTest, ABounceHeadThatCannotBeIsNoticed) {
  auto client = attacker();
  client->answers().bounce_head = 12345;
  const std::vector<std::byte> out(100);
  const Bytes part = out;
  Sends sends;
  ASSERT_TRUE(x_to_attacker->send(bytes_of("answer"), {&part, 1}, sends.done()).is_ok());
  ASSERT_TRUE(x_pair.until([&] { return x_lost == 1 && sends.total() == 1; }));
  EXPECT_EQ(x_pair.counters_of_b().bad_indices, 1u);
}

// One that shows and shows, and takes no release, would have the server remember them all.
TEST_F(HostileTest, WhoTakesNoReleasesMayShowNoMore) {
  auto client = attacker();
  const MemfdOfTests memory(4096);
  client->pass(memory.fd(), 1, 4096);
  LocalRecord record = record_of(Type::message, Source::region, 4096);
  record.region = 1;
  uint64_t shown = 0;
  ASSERT_TRUE(x_pair.until([&] {
    client->write(record);
    ++shown;
    x_pair.b().progress();
    return x_lost == 1;
  }));
  EXPECT_LE(shown, kLocalCells + 2 * kLocalShownMax);
  EXPECT_EQ(x_pair.counters_of_b().bad_records, 1u);
  expect_others_are_served();
}

TEST_F(HostileTest, HellosOfNobodyAndOfOtherVersionsAreRefusedInWords) {
  struct Case {
    std::string address;
    uint64_t lowest, highest;
    const char* words;
  };
  const Case cases[] = {{std::string(32, 'b'), kLocalVersion, kLocalVersion, "no such connection"},
                        {"", kLocalVersion, kLocalVersion, "no such connection"},
                        {kAttacker, kLocalVersion + 1, 9, "speaks version 2"},
                        {kAttacker, 0, kLocalVersion - 1, "speaks version 2"}};
  uint64_t refused = 0;
  for (const Case& each : cases) {
    RawClient client(x_pair.folder(), x_pair.b().address());
    client.hello(each.address, each.lowest, each.highest);
    LocalNote note;
    int passed = -1;
    ASSERT_TRUE(x_pair.until([&] { return client.socket().receive(note, passed).is_ok(); }));
    EXPECT_EQ(note.type, LocalNote::Type::refused);
    EXPECT_NE(text_of(note).find(each.words), std::string::npos) << text_of(note);
    EXPECT_EQ(passed, -1) << "no memory for strangers";
    ASSERT_TRUE(x_pair.until([&] { return client.is_closed(); }));
    EXPECT_EQ(x_pair.counters_of_b().refused_hellos, ++refused);
  }
}

// Whoever speaks a range that holds our version is welcome.
TEST_F(HostileTest, ANewerClientIsSpokenToInTheVersionOfBoth) {
  RawClient client(x_pair.folder(), x_pair.b().address());
  client.hello(kAttacker, 1, 5);
  EXPECT_TRUE(x_pair.until([&] { return client.take_welcome(); }));
}

TEST_F(HostileTest, AConnectionHasFewSockets) {
  std::vector<std::unique_ptr<RawClient>> clients;
  for (size_t i = 0; i < kLocalSocketsPerPeerMax; ++i)
    clients.push_back(attacker());
  RawClient more(x_pair.folder(), x_pair.b().address());
  more.hello(kAttacker);
  EXPECT_TRUE(x_pair.until([&] { return more.is_closed(); }));
  expect_others_are_served();
}

TEST_F(HostileTest, SocketsThatSayNothingShutNobodyOut) {
  expect_others_are_served();
  std::vector<std::unique_ptr<RawClient>> silent;
  for (size_t i = 0; i < 2 * kLocalStrangersMax; ++i) {
    silent.push_back(std::make_unique<RawClient>(x_pair.folder(), x_pair.b().address()));
    const Instant end = system_clock().now() + Millis(1);
    x_pair.until([&] { return system_clock().now() > end; });
  }
  EXPECT_TRUE(x_pair.until([&] { return silent.front()->is_closed(); })) << "the oldest goes";
  EXPECT_FALSE(silent.back()->is_closed());
  attacker();
  expect_others_are_served();
}

TEST_F(HostileTest, AFloodOfBellsCostsOthersNothing) {
  auto client = attacker();
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 100; ++i)
      (void)client->socket().send(LocalNote{});
    expect_others_are_served();
  }
  EXPECT_EQ(x_lost, 0);
}

// One that asks for a bell all the time, and reads none, is still only one among others.
TEST_F(HostileTest, AClientThatNeverReadsItsSocketStallsNobody) {
  auto client = attacker();
  Status sent;
  for (int i = 0; i < 1000; ++i) {
    client->answers().asleep = 1;
    sent = x_to_attacker->send(bytes_of("answer"), {}, {});
    client->answers().head = client->answers().tail.load();
    ASSERT_TRUE(sent.is_ok() || sent.code() == Code::overloaded);
    x_pair.b().progress();
  }
  expect_others_are_served();
}

TEST_F(HostileTest, PinsOfWhoDiesEndWithIt) {
  MemfdOfTests slab(kMiB);
  x_pair.b_memory->add({.id = 5, .memory = slab.memory(), .fd = slab.fd(), .domain = {}});
  auto client = attacker();
  Sends sends;
  const Bytes part = slab.memory();
  for (int i = 0; i < 100; ++i)
    ASSERT_TRUE(x_to_attacker->send(bytes_of("block"), {&part, 1}, sends.done()).is_ok());
  for (auto& word : client->answers().shown)
    word = word.load() | kLocalPinned;
  x_to_attacker->close();
  x_pair.until([n = 0]() mutable { return ++n > 100; });
  EXPECT_EQ(sends.total(), 0) << "whoever reads there may still live";
  client.reset();
  EXPECT_TRUE(x_pair.until([&] { return sends.total() == 100; }));
}

// Whatever is in its ring, the server lives, and goes on serving others.
TEST_F(HostileTest, AnyBytesAtAll) {
  std::mt19937_64 random(20261123);
  for (int round = 0; round < 100; ++round) {
    SCOPED_TRACE(round);
    x_to_attacker =
        x_pair.b().connect({.peer_address = kAttacker, .link = 66, .on_lost = {}}).value();
    auto client = attacker();
    const MemfdOfTests memory(4096);
    client->pass(memory.fd(), 1, 4096);
    if (round % 4 == 0) {
      client->scribble(random);
    } else {
      client->scribble_plausibly(random);
    }
    client->requests().tail = random() % (kLocalCells + 2);
    if (round % 2 == 0) client->answers().head = random();
    if (round % 3 == 0) client->answers().bounce_head = random();
    for (int i = 0; i < 5; ++i)
      x_pair.b().progress();
    expect_others_are_served();
  }
}

}  // namespace
}  // namespace tarn::fabric
