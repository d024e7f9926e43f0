// get_views where nothing is mapped, so that views are copies; and the pins behind all views.
#include <gmock/gmock.h>

#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "common/block/checksum.h"
#include "sdk/cpp/src/view.h"
#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string text_of(const View& view) {
  return {reinterpret_cast<const char*>(view.bytes().data()), view.bytes().size()};
}

class ViewsTest : public KvTest {
 protected:
  static std::vector<ViewItem> looks(const Chain& chain, uint64_t bytes_max = 5000) {
    std::vector<ViewItem> items;
    for (const BlockHash& hash : chain.hashes)
      items.push_back({hash, bytes_max});
    return items;
  }
  void start_with(Chain& chain) {
    start(1);
    ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  }
};

TEST_F(ViewsTest, ShowWhatWasPut) {
  Chain chain("a", 9);
  start_with(chain);
  Transfer transfer = space->get_views(looks(chain));
  ASSERT_THAT(outcomes(transfer), ElementsAre(Outcome::ok));
  for (size_t i = 0; i < 9; ++i) {
    const View view = transfer.take_view(i);
    EXPECT_EQ(text_of(view), chain.texts[i]);
    EXPECT_FALSE(view.is_mapped()) << "gRPC maps nothing";
    EXPECT_TRUE(view.verify());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.bytes().data()) % 4096, 0u);
    EXPECT_EQ(transfer.outcomes()[i].bytes, 5000u);
  }
}

TEST_F(ViewsTest, OutliveTransferSpaceAndClient) {
  Chain chain("a", 1);
  start_with(chain);
  std::optional<Transfer> transfer(space->get_views(looks(chain)));
  ASSERT_THAT(outcomes(*transfer), ElementsAre(Outcome::ok));
  const View view = transfer->take_view(0);
  transfer.reset();
  space.reset();
  client.reset();
  EXPECT_EQ(text_of(view), chain.texts[0]);
  EXPECT_TRUE(view.verify());
}

TEST_F(ViewsTest, AreTakenOnceAndEmptyElsewhere) {
  Chain chain("a", 2);
  start_with(chain);
  auto items = looks(chain);
  items.push_back({"nowhere", 5000});
  Transfer transfer = space->get_views(items);
  ASSERT_THAT(outcomes(transfer), ElementsAre(Outcome::ok, Outcome::miss));
  EXPECT_FALSE(transfer.take_view(0).bytes().empty());
  EXPECT_TRUE(transfer.take_view(0).bytes().empty()) << "taken already";
  EXPECT_FALSE(transfer.take_view(1).bytes().empty());
  const View missing = transfer.take_view(2);
  EXPECT_TRUE(missing.bytes().empty());
  EXPECT_FALSE(missing.is_mapped());
  EXPECT_EQ(missing.verify().error().outcome, Outcome::miss);
  EXPECT_TRUE(transfer.take_view(3).bytes().empty()) << "no such item";
  Transfer get = space->get_kv(chain.reads());
  ASSERT_TRUE(get.wait());
  EXPECT_TRUE(get.take_view(0).bytes().empty()) << "not a get_views";
}

TEST_F(ViewsTest, AreEmptyOnceReleased) {
  Chain chain("a", 1);
  start_with(chain);
  Transfer transfer = space->get_views(looks(chain));
  ASSERT_TRUE(transfer.wait());
  View view = transfer.take_view(0);
  view.release();
  view.release();
  EXPECT_TRUE(view.bytes().empty());
  EXPECT_EQ(view.verify().error().outcome, Outcome::miss);
}

TEST_F(ViewsTest, OfCorruptBlocksThereAreNone) {
  Chain chain("a", 3);
  start_with(chain);
  cluster->server(0).corrupt("a-1");
  Transfer transfer = space->get_views(looks(chain));
  EXPECT_THAT(outcomes(transfer), ElementsAre(Outcome::ok, Outcome::corrupt, Outcome::ok));
  EXPECT_TRUE(transfer.take_view(1).bytes().empty());
  EXPECT_FALSE(transfer.take_view(2).bytes().empty());
}

TEST_F(ViewsTest, HaveTheSizeAskedForAtMost) {
  Chain chain("a", 1);
  start_with(chain);
  for (const uint64_t most : {4999u, 5000u, 5001u, 64u << 20}) {
    Transfer transfer = space->get_views(looks(chain, most));
    ASSERT_TRUE(transfer.wait());
    const Outcome wanted = most < 5000 ? Outcome::invalid_argument : Outcome::ok;
    EXPECT_EQ(transfer.outcomes()[0].outcome, wanted) << most;
  }
  for (const uint64_t most : {uint64_t{0}, (uint64_t{64} << 20) + 1}) {
    Transfer transfer = space->get_views(looks(chain, most));
    ASSERT_TRUE(transfer.wait());
    EXPECT_EQ(transfer.outcomes()[0].outcome, Outcome::invalid_argument);
    EXPECT_THAT(transfer.outcomes()[0].message, HasSubstr("items[0].bytes_max"));
  }
}

TEST_F(ViewsTest, OfOneClientAreLimitedAndRoomComesBack) {
  Chain chain("a", 1);
  start_with(chain);
  const std::vector<ViewItem> many(kViewsMax - 1, {chain.hashes[0], 5000});
  std::optional<Transfer> all(space->get_views(many));
  EXPECT_THAT(outcomes(*all), ElementsAre(Outcome::ok));
  std::vector<ViewItem> two = {{chain.hashes[0], 5000}, {chain.hashes[0], 5000}};
  {
    Transfer last = space->get_views(two);
    EXPECT_THAT(outcomes(last), ElementsAre(Outcome::ok, Outcome::overloaded));
    EXPECT_THAT(last.outcomes()[1].message, HasSubstr("4096 views"));
  }
  View kept = all->take_view(7);
  all.reset();
  EXPECT_EQ(text_of(kept), chain.texts[0]);
  Transfer again = space->get_views(many);
  EXPECT_THAT(outcomes(again), ElementsAre(Outcome::ok));
  Transfer none = space->get_views(two);
  EXPECT_THAT(outcomes(none), ElementsAre(Outcome::overloaded)) << "one is kept still";
  kept.release();
  Transfer one = space->get_views(two);
  EXPECT_THAT(outcomes(one), ElementsAre(Outcome::ok, Outcome::overloaded));
}

TEST_F(ViewsTest, WithoutMemoryAreTriedAgainThenOverloaded) {
  Chain chain("a", 1);
  start_with(chain);
  fault::arm("sdk.view_room", {});
  Transfer once = space->get_views(looks(chain));
  EXPECT_THAT(outcomes(once), ElementsAre(Outcome::ok));
  fault::arm("sdk.view_room", {.times = 0});
  Transfer never = space->get_views(looks(chain), {.timeout_ms = 300});
  EXPECT_THAT(outcomes(never), ElementsAre(Outcome::overloaded));
}

// The pins by themselves, as the `local` fabric would have them settled.
class Pins : public ::testing::Test {
 protected:
  std::shared_ptr<ViewPin> mapped() {
    auto pin = ViewPin::open(keeper);
    fabric::GetTarget got;
    got.bytes = bytes.size();
    got.payload_crc = block::crc32c(0, bytes.data(), bytes.size());
    got.view = {std::as_bytes(std::span(bytes)), [this] { ++released; }};
    pin->settle(got);
    EXPECT_FALSE(got.view.release) << "taken over";
    return pin;
  }
  void give_back_all() {
    std::vector<std::function<void()>> all;
    {
      const std::lock_guard lock(mutex);
      all.swap(given_back);
    }
    for (const auto& release : all)
      release();
  }

  std::string bytes = "the bytes of a server";
  int released = 0;
  std::mutex mutex;
  std::vector<std::function<void()>> given_back;
  ViewKeeper keeper{[this](std::function<void()> release) {
    const std::lock_guard lock(mutex);
    given_back.push_back(std::move(release));
  }};
};

TEST_F(Pins, GiveTheirBytesBackOnceAndNotFromTheThreadThatEndsThem) {
  auto pin = mapped();
  EXPECT_TRUE(pin->is_mapped());
  EXPECT_EQ(static_cast<const void*>(pin->bytes().data()), bytes.data());
  auto other = pin;
  pin.reset();
  EXPECT_TRUE(given_back.empty()) << "another handle has it";
  other.reset();
  EXPECT_EQ(released, 0);
  ASSERT_EQ(given_back.size(), 1u);
  give_back_all();
  EXPECT_EQ(released, 1);
  EXPECT_EQ(keeper.count(), 0u);
}

// A child that ends its copy of a view must not end the pin of its parent.
TEST_F(Pins, AreTheParentsAloneAfterAFork) {
  auto pin = ViewPin::open(keeper);
  fabric::GetTarget got;
  bool is_dropped = false;
  std::shared_ptr<int> token(nullptr, [&is_dropped](int*) { is_dropped = true; });
  got.view = {std::as_bytes(std::span(bytes)), [token] { (void)token; }};
  pin->settle(got);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    pin.reset();
    token.reset();
    _exit(is_dropped || !given_back.empty() ? 1 : 0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  pin.reset();
  EXPECT_EQ(given_back.size(), 1u);
  give_back_all();
}

TEST_F(Pins, KnowIntactBytesFromOthers) {
  const auto pin = mapped();
  EXPECT_TRUE(pin->is_intact());
  for (const size_t at : {size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
    bytes[at] ^= 1;
    EXPECT_FALSE(pin->is_intact()) << at;
    bytes[at] ^= 1;
  }
  EXPECT_TRUE(pin->is_intact());
}

TEST_F(Pins, EndOnManyThreadsAtOnceAndAreCountedRight) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this] {
      for (int round = 0; round < 200; ++round)
        mapped().reset();
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  EXPECT_EQ(given_back.size(), 1600u);
  give_back_all();
  EXPECT_EQ(released, 1600);
  EXPECT_EQ(keeper.count(), 0u);
}

}  // namespace
}  // namespace tarn::sdk
