// The small parts that ports are made of: scatter lists, ended callbacks, staging.
#include <gtest/gtest.h>

#include <poll.h>

#include <cstring>
#include <random>

#include "common/block/checksum.h"
#include "common/fabric/ended.h"
#include "common/fabric/event.h"
#include "common/fabric/scatter.h"
#include "common/fabric/ucx_staging.h"
#include "tests/unit/fabric/fabric_pair.h"

namespace tarn::fabric {
namespace {

// Memory cut into parts of random sizes, some empty.
struct Scattered {
  Scattered(size_t bytes, std::mt19937_64& random) : memory(bytes, std::byte{0xEE}) {
    MutableBytes rest = memory;
    while (!rest.empty() || random() % 3 == 0) {
      const size_t step = random() % 4 == 0 ? 0 : std::min<size_t>(rest.size(), random() % 9000);
      parts.push_back(rest.first(step));
      rest = rest.subspan(step);
    }
  }
  std::vector<std::byte> memory;
  std::vector<MutableBytes> parts;
};

TEST(Scatter, PiecesOfAnySizeFillPartsOfAnySize) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const std::vector<std::byte> out = pattern(random() % 40'000, seed);
    Scattered into(out.size(), random);
    ScatterWriter writer(into.parts);
    for (Bytes rest = out; !rest.empty();) {
      const size_t step = std::min<size_t>(rest.size(), random() % 12'000);
      ASSERT_TRUE(writer.write(rest.first(step)));
      rest = rest.subspan(step);
    }
    ASSERT_TRUE(into.memory == out);
    ASSERT_EQ(writer.bytes_written(), out.size());
    ASSERT_EQ(total_bytes(into.parts), out.size());
    const uint32_t crc = block::crc32c(0, out.data(), out.size());
    ASSERT_EQ(writer.crc32c(), crc);
    ASSERT_EQ(crc32c_of(into.parts), crc);
  }
}

TEST(Scatter, NotAByteIsWrittenPastTheParts) {
  for (const size_t room : {size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, size_t{10'000}}) {
    std::vector<std::byte> memory(room + 64, std::byte{0xEE});
    const MutableBytes parts[] = {{}, MutableBytes(memory).first(room), {}};
    const std::vector<std::byte> out = pattern(room + 1, 1);
    ScatterWriter writer(parts);
    ASSERT_TRUE(writer.write(Bytes(out).first(room)));
    EXPECT_TRUE(writer.write({})) << "nothing always fits";
    EXPECT_FALSE(writer.write(Bytes(out).subspan(room)));
    EXPECT_EQ(
        std::count(memory.begin() + static_cast<ptrdiff_t>(room), memory.end(), std::byte{0xEE}),
        64);
    EXPECT_EQ(writer.bytes_written(), room);
  }
}

TEST(Ended, CallbacksComeInOrderAndOnlyOnce) {
  EndedCallbacks ended;
  std::string order;
  ended.add([&](Code code) { order += code == Code::ok ? "s" : "S"; }, Code::ok);
  ended.add([&](Code, uint32_t crc) { order += crc == 5 ? "r" : "R"; }, Code::ok, 5);
  ended.add([&](Status why) { order += why.message(); }, unavailable("l"));
  ended.add(SendDone(), Code::ok);
  EXPECT_FALSE(ended.empty());
  EXPECT_EQ(order, "");
  EXPECT_EQ(ended.call_all(), 3u) << "one without a callback is none";
  EXPECT_EQ(order, "srl");
  EXPECT_TRUE(ended.empty());
  EXPECT_EQ(ended.call_all(), 0u);
}

// Else a callback that sends could keep one progress() busy for ever.
TEST(Ended, WhatACallbackAddsWaitsForTheNextCall) {
  EndedCallbacks ended;
  int calls = 0;
  std::function<void(Code)> again = [&](Code) {
    if (++calls < 100) ended.add(again, Code::ok);
  };
  ended.add(again, Code::ok);
  for (int turn = 1; turn <= 100; ++turn) {
    EXPECT_EQ(ended.call_all(), 1u);
    EXPECT_EQ(calls, turn);
  }
  EXPECT_TRUE(ended.empty());
}

// Random receives: the bytes of the port stay within the limit, no memory serves two.
TEST(Staging, StaysWithinItsLimitAndSharesNothing) {
  std::mt19937_64 random(4);
  UcxStaging staging;
  std::vector<UcxStaging::Buffer> held;
  uint64_t held_bytes = 0;
  for (int step = 0; step < 2000; ++step) {
    if (random() % 2 == 0) {
      const size_t bytes = 1 + random() % (24 * 1024 * 1024);
      UcxStaging::Buffer buffer = staging.take(bytes);
      if (buffer.memory == nullptr) {
        ASSERT_GT(held_bytes + bytes, kUcxStagingBytesMax) << "refused with room left";
        continue;
      }
      ASSERT_GE(buffer.capacity, bytes);
      for (const auto& other : held)
        ASSERT_NE(other.memory.get(), buffer.memory.get());
      held_bytes += buffer.capacity;
      held.push_back(std::move(buffer));
    } else if (!held.empty()) {
      std::swap(held[random() % held.size()], held.back());
      held_bytes -= held.back().capacity;
      staging.give_back(std::move(held.back()));
      held.pop_back();
    }
    ASSERT_LE(held_bytes, staging.bytes());
    ASSERT_LE(staging.bytes(), kUcxStagingBytesMax);
  }
  while (!held.empty()) {
    staging.give_back(std::move(held.back()));
    held.pop_back();
  }
  EXPECT_NE(staging.take(kUcxStagingBytesMax).memory, nullptr) << "spare memory makes way";
}

TEST(Staging, AFullOneGivesNothingUntilSomeComesBack) {
  UcxStaging staging;
  UcxStaging::Buffer all = staging.take(kUcxStagingBytesMax);
  ASSERT_NE(all.memory, nullptr);
  EXPECT_EQ(staging.take(1).memory, nullptr);
  EXPECT_EQ(staging.take(kUcxStagingBytesMax + 1).memory, nullptr);
  const std::byte* const where = all.memory.get();
  staging.give_back(std::move(all));
  EXPECT_EQ(staging.take(1000).memory.get(), where) << "it is used again, not made anew";
}

TEST(Event, IsReadableFromSignalToClear) {
  const Event event = Event::open().value();
  const auto is_readable = [&] {
    pollfd entry{event.fd(), POLLIN, 0};
    return poll(&entry, 1, 0) == 1;
  };
  EXPECT_FALSE(is_readable());
  for (int i = 0; i < 3; ++i)
    event.signal();
  EXPECT_TRUE(is_readable());
  event.clear();
  EXPECT_FALSE(is_readable()) << "many signals are one";
  event.clear();
  event.signal();
  EXPECT_TRUE(is_readable());
}

}  // namespace
}  // namespace tarn::fabric
