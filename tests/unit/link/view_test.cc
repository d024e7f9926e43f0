// Gets that want the bytes where they are, over the loop, which can hand them out and can refuse
// to.
#include "tests/unit/link/loop_fixture.h"

namespace tarn::fabric {
namespace {

// A get of views of `count` blocks of at most `bytes_max`, with memory for those that are copied.
struct ViewGet : Counted<GetOp> {
  ViewGet(size_t count, uint64_t bytes_max) : targets_of(count) {
    for (size_t i = 0; i < count; ++i) {
      targets_of[i].hash = wire::samples::hash_of(32, static_cast<uint8_t>(i));
      targets_of[i].view_bytes_max = bytes_max;
    }
    targets = targets_of;
    make_room = [this](GetOp&, size_t index) {
      sizes.push_back(targets[index].bytes);
      if (index == without_room) return;
      targets[index].into = rooms.emplace_back(targets[index].bytes).parts();
    };
  }
  ~ViewGet() { release(); }

  void release() {
    for (GetTarget& target : targets)
      if (target.view.release) std::exchange(target.view.release, nullptr)();
  }
  std::string text(size_t index) const {
    const Bytes bytes = targets[index].view.bytes;
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  std::vector<GetTarget> targets_of;
  std::deque<Room> rooms;
  std::vector<uint64_t> sizes;  // that room was asked for
  size_t without_room = ~size_t{0};
};

class Views : public LoopTest {
 protected:
  const std::vector<std::string> x_texts = {std::string(3000, 'a'), std::string(4096, 'b'),
                                            std::string(1, 'c')};
};

TEST_F(Views, AreTheServersOwnBytes) {
  keep(x_texts);
  ViewGet get(3, 4096);
  ASSERT_TRUE(x_link->submit(get).is_ok());
  run();
  EXPECT_EQ(get.ends, 1);
  for (size_t i = 0; i < 3; ++i) {
    const GetTarget& target = get.targets[i];
    const std::string& stored = x_server->block(target.hash);
    EXPECT_EQ(target.code, Code::ok);
    EXPECT_EQ(target.bytes, stored.size());
    EXPECT_EQ(static_cast<const void*>(target.view.bytes.data()), stored.data()) << "a copy";
    EXPECT_EQ(target.payload_crc, block::crc32c(0, stored.data(), stored.size()));
  }
  EXPECT_TRUE(get.sizes.empty()) << "nobody needs room";
}

TEST_F(Views, KeepTheServersMemoryInUseUntilTheLastIsReleased) {
  keep(x_texts);
  ViewGet get(3, 4096);
  ASSERT_TRUE(x_link->submit(get).is_ok());
  run();
  EXPECT_TRUE(x_link->is_idle()) << "the get itself has ended";
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_FALSE(x_server->is_idle()) << i;
    std::exchange(get.targets[i].view.release, nullptr)();
    run();
  }
  EXPECT_TRUE(x_server->is_idle());
}

TEST_F(Views, OutliveTheConnection) {
  keep(x_texts);
  ViewGet get(3, 4096);
  ASSERT_TRUE(x_link->submit(get).is_ok());
  run();
  x_link->lost(unavailable("the test says so"));
  run();
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(get.text(i), x_texts[i]);
  EXPECT_FALSE(x_server->is_idle());
  get.release();
  run();
  EXPECT_TRUE(x_server->is_idle());
}

TEST_F(Views, AreCheckedCopiesWhereNothingIsMapped) {
  keep(x_texts);
  x_port->set_maps(false);
  ViewGet get(4, 4096);
  ASSERT_TRUE(x_link->submit(get).is_ok());
  run();
  EXPECT_EQ(get.ends, 1);
  EXPECT_EQ(get.sizes, (std::vector<uint64_t>{3000, 4096, 1}));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(get.targets[i].code, Code::ok);
    EXPECT_FALSE(get.targets[i].view.release);
    EXPECT_EQ(get.rooms[i].text(), x_texts[i]);
  }
  EXPECT_EQ(get.targets[3].code, Code::not_found);
  EXPECT_TRUE(x_server->is_idle());
}

TEST_F(Views, AreMissesWhereTheCopyIsCorrupt) {
  keep(x_texts);
  x_port->set_maps(false);
  fault::arm("link.corrupt_payload", {});
  ViewGet get(3, 4096);
  ASSERT_TRUE(x_link->submit(get).is_ok());
  run();
  EXPECT_EQ(get.targets[0].code, Code::corrupt);
  EXPECT_EQ(get.targets[1].code, Code::ok);
}

TEST_F(Views, WithoutRoomForTheCopyAreOverloadedAloneAndNothingHangs) {
  keep(x_texts);
  x_port->set_maps(false);
  ViewGet get(3, 4096);
  get.without_room = 1;
  ASSERT_TRUE(x_link->submit(get).is_ok());
  run();
  EXPECT_EQ(get.ends, 1);
  EXPECT_EQ(get.targets[0].code, Code::ok);
  EXPECT_EQ(get.targets[1].code, Code::overloaded);
  EXPECT_EQ(get.targets[2].code, Code::ok);
  EXPECT_TRUE(x_server->is_idle());
}

// This server sends what it has, however much was asked for.
TEST_F(Views, OfBlocksLargerThanAskedAreRefusedAndTellTheSize) {
  keep(x_texts);
  for (const uint64_t most : {4095u, 4096u, 4097u}) {
    ViewGet get(2, most);
    ASSERT_TRUE(x_link->submit(get).is_ok());
    run();
    EXPECT_EQ(get.targets[0].code, Code::ok) << most;
    EXPECT_EQ(get.targets[1].code, most < 4096 ? Code::invalid_argument : Code::ok) << most;
    EXPECT_EQ(get.targets[1].bytes, 4096u) << most;
    get.release();
    run();
  }
  EXPECT_EQ(x_link->counters().size_mismatches, 1u);
}

TEST_F(Views, NeedAPlaceForCopies) {
  ViewGet get(1, 10);
  get.make_room = nullptr;
  EXPECT_EQ(x_link->submit(get).code(), Code::invalid_argument);
}

// One object, submitted again: nothing of the first time is left.
TEST_F(Views, MayBeAskedForAgainWithTheSameObject) {
  keep(x_texts);
  ViewGet get(3, 4096);
  for (const bool maps : {true, false, true}) {
    x_port->set_maps(maps);
    ASSERT_TRUE(x_link->submit(get).is_ok());
    run();
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(get.targets[i].code, Code::ok);
      EXPECT_EQ(static_cast<bool>(get.targets[i].view.release), maps);
      EXPECT_EQ(get.targets[i].into.empty(), maps);
    }
    get.release();
    run();
  }
  EXPECT_EQ(get.ends, 3);
}

}  // namespace
}  // namespace tarn::fabric
