#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <random>

#include "benchmarks/peers/raw/near_stores.h"
#include "benchmarks/peers/raw/runner.h"

namespace tarn::peers {
namespace {

using testing::HasSubstr;

constexpr uint64_t kSourceBytes = 256 << 10;
constexpr uint64_t kMemoryBytes = 1 << 20;

// A store in a map, which notes what was asked of it and can spoil what it gives back.
class MapStore final : public Store {
 public:
  Result<std::span<std::byte>> allocate(size_t bytes) override { return x_mapped.allocate(bytes); }

  Status begin_put(uint32_t slot, const std::string& key, std::span<std::byte> value) override {
    if (values.contains(key)) return already_exists(key);
    values[key] = {value.begin(), value.end()};
    return begin(slot);
  }

  Status begin_get(uint32_t slot, const std::string& key, std::span<std::byte> place) override {
    if (!values.contains(key)) return not_found(key);
    std::copy(values[key].begin(), values[key].end(), place.begin());
    if (++gets == spoils) place.back() ^= std::byte{1};
    return begin(slot);
  }

  // Takes them in any order, as a store may end them.
  Result<uint32_t> wait() override {
    const size_t which = x_random() % x_slots.size();
    const uint32_t slot = x_slots[which];
    x_slots.erase(x_slots.begin() + static_cast<ptrdiff_t>(which));
    return slot;
  }

  Result<uint64_t> exists(std::span<const std::string> keys) override {
    return static_cast<uint64_t>(std::count_if(
        keys.begin(), keys.end(), [this](const std::string& key) { return values.contains(key); }));
  }

  Status remove(std::span<const std::string> keys) override {
    for (const std::string& key : keys)
      values.erase(key);
    return Status::ok();
  }

  std::map<std::string, std::vector<std::byte>> values;
  size_t most_running = 0;
  int gets = 0;
  int spoils = 0;

 private:
  Status begin(uint32_t slot) {
    EXPECT_EQ(std::count(x_slots.begin(), x_slots.end(), slot), 0) << "a slot is used twice";
    x_slots.push_back(slot);
    most_running = std::max(most_running, x_slots.size());
    return Status::ok();
  }

  Mapped x_mapped;
  std::mt19937 x_random{7};
  std::deque<uint32_t> x_slots;
};

std::string payload_file(uint64_t bytes) {
  const std::string path = testing::TempDir() + "peers_payload";
  std::mt19937 random(1);
  std::ofstream file(path, std::ios::binary);
  for (uint64_t i = 0; i < bytes; ++i)
    file.put(static_cast<char>(random()));
  return path;
}

class RunnerTest : public testing::Test {
 protected:
  RunnerTest()
      : x_memory(x_store.allocate(kMemoryBytes).value()),
        x_payload(Payload::load(payload_file(kSourceBytes), x_memory).value()),
        x_runner(x_store, x_payload) {}

  Result<Answer> run(const std::string& line) { return x_runner.run(parse_command(line).value()); }

  MapStore x_store;
  std::span<std::byte> x_memory;
  Payload x_payload;
  Runner x_runner;
};

TEST_F(RunnerTest, GetsGoRoundTheWorkingSetAndAreComparedByteForByte) {
  ASSERT_TRUE(run("fill bytes=4096 count=16"));
  const auto answer = run("get bytes=4096 inflight=8 millis=60000 ops=100 count=16");
  ASSERT_TRUE(answer) << answer.error().to_string();
  EXPECT_EQ(answer->ops, 100u);
  EXPECT_EQ(answer->bytes, 100u * 4096);
  EXPECT_EQ(answer->latencies_ns.size(), 100u);
  EXPECT_EQ(answer->checked, 100u);
  EXPECT_EQ(x_store.most_running, 8u);
}

TEST_F(RunnerTest, OneWrongByteInAnyGetFailsTheTurn) {
  ASSERT_TRUE(run("fill bytes=4096 count=16"));
  for (const int which : {1, 17, 40}) {
    x_store.gets = 0;
    x_store.spoils = which;
    const auto answer = run("get bytes=4096 inflight=4 millis=60000 ops=40 count=16");
    ASSERT_FALSE(answer) << which;
    EXPECT_EQ(answer.error().code(), Code::corrupt);
    EXPECT_THAT(answer.error().message(), HasSubstr("get of w4096-"));
  }
}

TEST_F(RunnerTest, BytesOfAnEarlierTurnDoNotPassForThoseOfThisOne) {
  ASSERT_TRUE(run("fill bytes=4096 count=1"));
  ASSERT_TRUE(run("get bytes=4096 inflight=1 millis=60000 ops=1 count=1"));
  x_store.values["w4096-0"].clear();
  const auto answer = run("get bytes=4096 inflight=1 millis=60000 ops=1 count=1");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), Code::corrupt);
}

TEST_F(RunnerTest, PutsUseFreshKeysReadTheLastOneBackAndTakeAllAway) {
  ASSERT_TRUE(run("fill bytes=4096 count=4"));
  for (const char* turn : {"1", "2"}) {
    const auto answer =
        run(std::string("put bytes=4096 inflight=4 millis=60000 ops=30 turn=") + turn);
    ASSERT_TRUE(answer) << answer.error().to_string();
    EXPECT_EQ(answer->ops, 30u);
  }
  EXPECT_EQ(x_store.gets, 2);
  EXPECT_EQ(x_store.values.size(), 4u);
  x_store.gets = 0;
  x_store.spoils = 1;
  const auto answer = run("put bytes=4096 inflight=4 millis=60000 ops=30 turn=3");
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message(), HasSubstr("other bytes came back"));
}

TEST_F(RunnerTest, TheTimeEndsATurnBeforeItsOperationsDo) {
  ASSERT_TRUE(run("fill bytes=4096 count=4"));
  const auto answer = run("get bytes=4096 inflight=4 millis=0 ops=100000 count=4");
  ASSERT_TRUE(answer);
  EXPECT_GE(answer->ops, 4u);
  EXPECT_LT(answer->ops, 100u);
}

TEST_F(RunnerTest, HalfOfTheKeysAreThere) {
  ASSERT_TRUE(run("fill bytes=4096 count=16"));
  const auto answer = run("exists bytes=4096 count=32 millis=60000 ops=5");
  ASSERT_TRUE(answer) << answer.error().to_string();
  EXPECT_EQ(answer->ops, 5u);
  ASSERT_TRUE(run("drop bytes=4096 count=16"));
  EXPECT_TRUE(x_store.values.empty());
  EXPECT_EQ(run("exists bytes=4096 count=32 millis=1 ops=1").error().code(), Code::corrupt);
}

TEST_F(RunnerTest, WhatDoesNotFitOrIsNoCommandIsRefused) {
  for (const char* line :
       {"get bytes=0 ops=1 count=1", "get bytes=4096 inflight=1000 ops=1 count=1",
        "fill bytes=1000000 count=1", "get bytes=4096 ops=1", "dance bytes=4096"}) {
    const auto answer = run(line);
    ASSERT_FALSE(answer) << line;
    EXPECT_EQ(answer.error().code(), Code::invalid_argument) << line;
  }
}

TEST(PeersPayload, ValuesOfNeighbouringKeysDifferAndPlacesDoNotOverlap) {
  Mapped mapped;
  const auto memory = mapped.allocate(kMemoryBytes).value();
  const auto payload = Payload::load(payload_file(kSourceBytes), memory).value();
  for (uint64_t number = 0; number < 32; ++number) {
    const auto one = payload.value(number, 8192);
    const auto next = payload.value(number + 1, 8192);
    EXPECT_NE(std::memcmp(one.data(), next.data(), 8192), 0) << number;
  }
  const uint64_t places = payload.places(8192, 8);
  ASSERT_EQ(places, (kMemoryBytes - kSourceBytes) / 8192);
  EXPECT_EQ(payload.place(0, 8192).data(), memory.data() + kSourceBytes);
  EXPECT_EQ(payload.place(places - 1, 8192).data() + 8192, memory.data() + memory.size());
  EXPECT_EQ(payload.places(8192, places + 1), 0u);
}

TEST(PeersPayload, AFileThatLeavesNoRingIsRefused) {
  Mapped mapped;
  const auto memory = mapped.allocate(kSourceBytes).value();
  EXPECT_EQ(Payload::load(payload_file(kSourceBytes), memory).error().code(),
            Code::invalid_argument);
  EXPECT_EQ(Payload::load("/nowhere/payload", memory).error().code(), Code::unavailable);
}

TEST(PeersCommand, EveryFieldIsReadAndWrongOnesAreNamed) {
  const auto command =
      parse_command("get bytes=65536 inflight=8 millis=20 ops=7 count=3 turn=2 servers=12,13");
  ASSERT_TRUE(command);
  EXPECT_EQ(command->verb, "get");
  EXPECT_EQ(command->bytes, 65536u);
  EXPECT_EQ(command->turn, 2u);
  EXPECT_EQ(command->servers, (std::vector<pid_t>{12, 13}));
  for (const char* word :
       {"bytes=x", "bytes=1x", "colour=3", "bytes", "servers=0", "inflight=-1"}) {
    const auto wrong = parse_command(std::string("get ") + word);
    ASSERT_FALSE(wrong) << word;
    EXPECT_THAT(wrong.error().message(), HasSubstr(word));
  }
  EXPECT_FALSE(parse_command(""));
  EXPECT_FALSE(parse_command("get inflight=0"));
}

TEST(PeersCommand, AnAnswerIsOneLine) {
  Answer answer;
  answer.ops = 2;
  answer.wall_ns = 9;
  answer.latencies_ns = {4, 5};
  EXPECT_EQ(answer.to_line(),
            "done ops=2 bytes=0 checked=0 wall_ns=9 client_cpu_ns=0 server_cpu_ns=0 latencies=4,5");
}

// The limit and the file system pass the same turns as any server.
TEST(PeersNearStores, PassATurnOfEachKind) {
  std::string folder = testing::TempDir() + "peers_files.XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  for (auto opened : {0, 1}) {
    auto store = opened == 0 ? copy_store(4 << 20) : file_store(folder);
    ASSERT_TRUE(store) << store.error().to_string();
    const auto memory = (*store)->allocate(kMemoryBytes).value();
    const auto payload = Payload::load(payload_file(kSourceBytes), memory).value();
    Runner runner(**store, payload);
    for (const char* line :
         {"fill bytes=5000 count=16", "get bytes=5000 inflight=8 millis=60000 ops=40 count=16",
          "exists bytes=5000 count=32 millis=1 ops=2",
          "put bytes=5000 inflight=3 millis=60000 ops=9 turn=1", "drop bytes=5000 count=16"}) {
      const auto answer = runner.run(parse_command(line).value());
      EXPECT_TRUE(answer) << line << ": " << answer.error().to_string();
    }
    EXPECT_FALSE(runner.run(parse_command("get bytes=5000 ops=1 count=1").value()));
  }
  EXPECT_EQ(rmdir(folder.c_str()), 0) << "a file was left";
}

}  // namespace
}  // namespace tarn::peers
