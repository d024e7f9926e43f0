// Buffers: what is registered, what a slice may name, and how long memory lives.
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <random>

#include "sdk/cpp/src/buffer.h"
#include "sdk/cpp/src/core.h"
#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::shared_ptr<fabric::UcxContext>> one_context() {
  return {fabric::UcxContext::open({}).value()};
}

TEST(MemoryRegistration, LastsAsLongAsTheMemory) {
  const auto contexts = one_context();
  std::vector<std::byte> mine(100'000);
  {
    const auto allocated = Memory::allocate(1 << 20, contexts).value();
    const auto adopted = Memory::adopt(mine.data(), mine.size(), contexts).value();
    EXPECT_EQ(allocated->registrations(), 1u);
    EXPECT_EQ(adopted->registrations(), 1u);
    EXPECT_GT(contexts[0].use_count(), 1) << "a registration keeps its device";
  }
  EXPECT_EQ(contexts[0].use_count(), 1) << "and gives it back";
}

TEST(MemoryRegistration, RunsMayOverlapAndGoInAnyOrder) {
  const auto contexts = one_context();
  std::vector<std::byte> mine(64 * 1024);
  auto whole = Memory::adopt(mine.data(), mine.size(), contexts).value();
  auto again = Memory::adopt(mine.data(), mine.size(), contexts).value();
  auto part = Memory::adopt(mine.data() + 5000, 77, contexts).value();
  whole.reset();
  EXPECT_EQ(again->registrations(), 1u);
  part.reset();
  again.reset();
  EXPECT_EQ(contexts[0].use_count(), 1);
}

TEST(MemoryRegistration, OutlivesTheClientThatMadeIt) {
  auto contexts = one_context();
  const auto memory = Memory::allocate(4096, contexts).value();
  contexts.clear();
  memory->data()[0] = std::byte{1};
  EXPECT_EQ(memory->registrations(), 1u);
}

TEST(MemoryRegistration, IsDoneWithoutWhereTheDeviceRefuses) {
  const auto contexts = one_context();
  fault::arm("sdk.register_memory", {fault::Action::fail, 0, 1, 0});
  const auto memory = Memory::allocate(8192, contexts);
  fault::disarm_all();
  ASSERT_TRUE(memory) << "slower, and no error";
  EXPECT_EQ((*memory)->registrations(), 0u);
}

TEST(MemoryRegistration, NothingIsRegisteredByAClientOfGrpcAlone) {
  const auto memory = Memory::allocate(8192).value();
  EXPECT_EQ(memory->registrations(), 0u);
}

TEST(MemoryRegistration, RefusesNoBytes) {
  EXPECT_EQ(fabric::UcxContext::hold_memory(one_context()[0], {}).error().code(),
            Code::invalid_argument);
}

// A server of this host reads a put where it lies, and takes only memory that cannot vanish.
TEST(MemoryShown, IsMappedByServersWhileItLives) {
  const auto shown = std::make_shared<fabric::LocalMemory>();
  {
    const auto memory = Memory::allocate(100'000, {}, shown).value();
    const auto region = shown->find({memory->data() + 5000, 2000});
    ASSERT_TRUE(region.has_value());
    const auto mapping = fabric::LocalMapping::open(::dup(region->fd), region->memory.size());
    ASSERT_TRUE(mapping.has_value()) << mapping.error().to_string();
    memory->data()[5000] = std::byte{7};
    EXPECT_EQ((*mapping)->memory()[5000], std::byte{7});
    std::vector<std::byte> mine(4096);
    const auto adopted = Memory::adopt(mine.data(), mine.size()).value();
    EXPECT_FALSE(shown->find(mine).has_value()) << "memory of the caller is copied";
  }
  EXPECT_EQ(shown->removals(), 1u);
}

TEST(MemoryLimits, SizeIsOneByteToTheLimit) {
  std::byte one{};
  EXPECT_TRUE(Memory::adopt(&one, 1));
  EXPECT_TRUE(Memory::adopt(&one, kBufferBytesMax)) << "believed: the caller says that it is there";
  for (const size_t size : {size_t{0}, kBufferBytesMax + 1}) {
    EXPECT_EQ(Memory::adopt(&one, size).error().code(), Code::invalid_argument) << size;
    EXPECT_EQ(Memory::allocate(size).error().code(), Code::invalid_argument) << size;
  }
  EXPECT_EQ(Memory::adopt(nullptr, 1).error().message(), "data: is null");
  const auto most = Memory::allocate(kBufferBytesMax);
  if (!most) {
    EXPECT_EQ(most.error().code(), Code::overloaded) << "an answer, and no end";
  }
}

// Random slices of random buffers against the arithmetic of ranges.
TEST(BufferRegistryModel, ASliceIsTakenExactlyWhenItLiesWithinALiveBuffer) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::vector<std::byte> arena(4096);
  BufferRegistry registry;
  std::vector<std::shared_ptr<const Memory>> live;
  std::vector<uint64_t> dead;
  const auto draw = [&](size_t most) {
    return std::uniform_int_distribution<size_t>(0, most)(random);
  };
  for (int step = 0; step < 3000; ++step) {
    if (live.size() < 8 && draw(3) == 0) {
      const size_t from = draw(4000);
      live.push_back(Memory::adopt(&arena[from], 1 + draw(4095 - from)).value());
      registry.add(live.back());
    } else if (!live.empty() && draw(9) == 0) {
      dead.push_back(live.back()->id());
      registry.remove(live.back()->id());
      live.pop_back();
    }
    Slice slice{&arena[draw(4095)], draw(600), 0};
    const Memory* of = nullptr;
    if (!live.empty() && draw(3) > 0) of = live[draw(live.size() - 1)].get();
    if (of != nullptr) slice.buffer_id = of->id();
    if (of == nullptr && !dead.empty()) slice.buffer_id = dead[draw(dead.size() - 1)];
    const bool is_within = of != nullptr && slice.data >= of->data() &&
                           slice.data + slice.size <= of->data() + of->size();
    const bool wanted = slice.size > 0 && (slice.buffer_id == 0 || is_within);
    ASSERT_EQ(registry.check(slice).has_value(), wanted) << "step " << step;
  }
}

TEST(BufferRegistryWords, SayWhatIsWrongWithASlice) {
  BufferRegistry registry;
  const auto memory = Memory::allocate(4096).value();
  registry.add(memory);
  const struct {
    Slice slice;
    const char* word;
  } cases[] = {
      {{nullptr, 5, 0}, "is null"},
      {{memory->data(), 0, memory->id()}, "is empty"},
      {{memory->data(), 5, memory->id() + 1000}, "freed"},
      {{memory->data() + 4000, 97, memory->id()}, "reaches out"},
      {{memory->data() - 1, 5, memory->id()}, "reaches out"},
      {{memory->data() + 4097, 1, memory->id()}, "reaches out"},
      {{memory->data() + 1, SIZE_MAX, memory->id()}, "reaches out"},
  };
  for (const auto& each : cases)
    EXPECT_THAT(registry.check(each.slice).error().message(), HasSubstr(each.word));
  registry.remove(memory->id());
}

class BufferTest : public KvTest {
 protected:
  std::vector<Outcome> put_slices(const std::string& hash, std::vector<Slice> slices) {
    PutItem item;
    item.hash = hash;
    item.slices = std::move(slices);
    Transfer transfer = space->put_kv({&item, 1});
    return outcomes(transfer);
  }
  BlockOutcome get_slices(const std::string& hash, std::vector<Slice> slices) {
    const GetItem item{hash, std::move(slices), 0};
    Transfer transfer = space->get_kv({&item, 1});
    EXPECT_TRUE(transfer.wait());
    return transfer.outcomes()[0];
  }
};

TEST_F(BufferTest, ItsSlicesMayLieAnywhereWithinAndNowhereElse) {
  start(1);
  Buffer buffer = client->allocate(10'000).value();
  const struct {
    size_t offset, size;
    bool fits;
  } cases[] = {{0, 10'000, true},    {0, 10'001, false},   {9'999, 1, true},
               {10'000, 1, false},   {10'000, 0, true},    {10'001, 0, false},
               {SIZE_MAX, 1, false}, {1, SIZE_MAX, false}, {SIZE_MAX, SIZE_MAX, false}};
  for (const auto& each : cases) {
    const Slice slice = buffer.slice(each.offset, each.size);
    EXPECT_EQ(slice.data != nullptr, each.fits) << each.offset << "+" << each.size;
    if (!each.fits) {
      EXPECT_EQ(slice.size, 0u);
    }
  }
  EXPECT_THAT(put_slices("past", {buffer.slice(9'000, 2'000)}),
              ElementsAre(Outcome::invalid_argument));
}

TEST_F(BufferTest, ABlockMayBeGatheredFromBuffersAndPlainMemory) {
  start(1);
  Buffer first = client->allocate(5000).value();
  std::string middle = "in the middle";
  std::vector<std::byte> own(3000, std::byte{7});
  Buffer last = client->register_memory(own.data(), own.size()).value();
  std::fill_n(first.data(), 5000, std::byte{3});
  const std::vector<Slice> parts{first.slice(100, 4000), Slice::of(middle.data(), middle.size()),
                                 last.slice(0, 3000), first.slice(0, 1)};
  ASSERT_THAT(put_slices("b", parts), ElementsAre(Outcome::ok));
  std::string all(4000 + middle.size() + 3000 + 1, '\0');
  ASSERT_EQ(get_slices("b", {Slice::of(all.data(), all.size())}).outcome, Outcome::ok);
  EXPECT_EQ(all.substr(0, 4000), std::string(4000, '\3'));
  EXPECT_EQ(all.substr(4000, middle.size()), middle);
  EXPECT_EQ(all.substr(4000 + middle.size()), std::string(3000, '\7') + '\3');
}

TEST_F(BufferTest, AnotherClientsBufferIsForeign) {
  start(1);
  Client other = Client::connect(cluster->options()).value();
  Buffer theirs = other.allocate(4096).value();
  EXPECT_THAT(put_slices("b", {theirs.slice(0, 10)}), ElementsAre(Outcome::invalid_argument));
  Chain chain("a", 1, 10);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  EXPECT_THAT(get_slices("a-0", {theirs.slice(0, 10)}).message, HasSubstr("another client"));
}

TEST_F(BufferTest, ABufferFreedInFlightLivesUntilTheTransferHasEnded) {
  start(1);
  Chain chain("a", 1, 300'000);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  cluster->server(0).hang(true);
  std::optional<Buffer> buffer = client->allocate(300'000).value();
  const GetItem item{"a-0", {buffer->slice(0, 300'000)}, 0};
  Transfer transfer = space->get_kv({&item, 1});
  buffer.reset();
  cluster->server(0).hang(false);
  EXPECT_THAT(outcomes(transfer), ElementsAre(Outcome::ok)) << "bytes landed in memory that lives";
}

TEST_F(BufferTest, OutlivesItsClient) {
  start(1);
  Buffer buffer = client->allocate(4096).value();
  space.reset();
  client.reset();
  buffer.data()[4095] = std::byte{1};
  EXPECT_EQ(buffer.size(), 4096u);
}

TEST_F(BufferTest, MovesAndIsNothingAfterwards) {
  start(1);
  Buffer buffer = client->allocate(4096).value();
  std::byte* const data = buffer.data();
  Buffer moved = std::move(buffer);
  EXPECT_EQ(moved.data(), data);
  EXPECT_EQ(buffer.data(), nullptr);  // NOLINT: a moved-from one is asked on purpose
  EXPECT_EQ(buffer.size(), 0u);
  EXPECT_EQ(buffer.slice(0, 0).data, nullptr);
  moved = client->allocate(100).value();
  EXPECT_EQ(moved.size(), 100u);
}

// A server has no block larger than 64 MiB, so no slice list may add up to more.
TEST_F(BufferTest, AScatterListHasItsLimits) {
  start(1);
  Buffer large = client->allocate(kBlockBytesMax + 1).value();
  EXPECT_EQ(get_slices("x", {large.slice(0, kBlockBytesMax)}).outcome, Outcome::miss);
  EXPECT_THAT(get_slices("x", {large.slice(0, kBlockBytesMax + 1)}).message, HasSubstr("64 MiB"));
  EXPECT_THAT(get_slices("x", {large.slice(0, kBlockBytesMax), large.slice(0, 1)}).message,
              HasSubstr("64 MiB"));
  std::vector<Slice> parts(fabric::kOpPartsMax, large.slice(0, 1));
  EXPECT_THAT(put_slices("many", parts), ElementsAre(Outcome::ok));
  EXPECT_EQ(get_slices("many", parts).outcome, Outcome::ok);
  parts.push_back(large.slice(0, 1));
  EXPECT_THAT(put_slices("more", parts), ElementsAre(Outcome::invalid_argument));
  EXPECT_THAT(get_slices("more", parts).message, HasSubstr("4096"));
}

TEST_F(BufferTest, AScatterListThatDoesNotAddUpLearnsTheSizeAndKeepsItsMemory) {
  start(1);
  Chain chain("a", 1, 1000);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  std::string room(2000, '?');
  for (const size_t size : {size_t{999}, size_t{1001}, size_t{2000}}) {
    const BlockOutcome outcome = get_slices("a-0", {Slice::of(room.data(), size)});
    EXPECT_EQ(outcome.outcome, Outcome::invalid_argument) << size;
    EXPECT_THAT(outcome.message, HasSubstr("another size"));
    if (size > 1000) {
      EXPECT_EQ(outcome.bytes, 1000u);
    }
    EXPECT_EQ(room, std::string(2000, '?')) << "nothing was moved";
  }
}

TEST_F(BufferTest, IsRegisteredWithTheFabricThatTheClientUses) {
  start(1, {}, true);
  auto core = Core::open([&] {
                ClientOptions options = cluster->options();
                options.transport = Transport::tcp;
                return options;
              }())
                  .value();
  ASSERT_EQ(core->contexts().size(), 1u);
  EXPECT_EQ(Memory::allocate(1 << 20, core->contexts()).value()->registrations(), 1u);
  Buffer buffer = client->allocate(2 << 20).value();
  std::fill_n(buffer.data(), buffer.size(), std::byte{5});
  ASSERT_THAT(put_slices("b", {buffer.slice(0, 1 << 20)}), ElementsAre(Outcome::ok));
  EXPECT_EQ(get_slices("b", {buffer.slice(1 << 20, 1 << 20)}).outcome, Outcome::ok);
}

}  // namespace
}  // namespace tarn::sdk
