#include "tests/unit/link/loop_fixture.h"

namespace tarn::fabric {
namespace {

TEST_F(LoopTest, WhatWasPutIsGot) {
  std::deque<Put> puts;
  for (size_t i = 0; i < 50; ++i) {
    Put& put = puts.emplace_back(std::string(1000 + i, static_cast<char>('a' + i % 26)));
    put.request.hash = wire::samples::hash_of(32, static_cast<uint8_t>(i));
    ASSERT_TRUE(x_link->submit(put).is_ok());
  }
  run();
  for (const Put& put : puts) {
    EXPECT_EQ(put.ends, 1);
    EXPECT_EQ(put.code, Code::ok);
  }
  Get get(60, 2000);
  for (GetTarget& target : get.targets)
    target.exact = false;
  ASSERT_TRUE(x_link->submit(get).is_ok());
  run();
  EXPECT_EQ(get.ends, 1);
  for (size_t i = 0; i < 60; ++i) {
    EXPECT_EQ(get.targets[i].code, i < 50 ? Code::ok : Code::not_found) << i;
    if (i < 50) {
      EXPECT_EQ(get.rooms[i].text().substr(0, get.targets[i].bytes), puts[i].text);
    }
  }
}

TEST_F(LoopTest, AServerThatDiesEndsWhatIsInFlight) {
  Put put(std::string(4096, 'p'));
  Get get(1, 4096);
  x_hub.set_path("client", "server", LoopHub::Path::hold);
  ASSERT_TRUE(x_link->submit(put).is_ok());
  ASSERT_TRUE(x_link->submit(get).is_ok());
  run();
  EXPECT_EQ(put.ends + get.ends, 0);
  x_hub.lose("client", "server");
  run();
  EXPECT_TRUE(x_link->is_lost());
  EXPECT_EQ(put.ends, 1);
  EXPECT_EQ(get.ends, 1);
  EXPECT_EQ(put.code, Code::unavailable);
}

TEST_F(LoopTest, AServerThatHangsEndsByTheDeadline) {
  Put put(std::string(4096, 'p'));
  put.deadline = x_clock.now() + std::chrono::milliseconds(10);
  x_hub.set_path("client", "server", LoopHub::Path::hold);
  ASSERT_TRUE(x_link->submit(put).is_ok());
  run();
  advance(std::chrono::milliseconds(10));
  EXPECT_EQ(put.ends, 0);
  run();
  EXPECT_EQ(put.ends, 1);
  EXPECT_EQ(put.code, Code::deadline_exceeded);
}

}  // namespace
}  // namespace tarn::fabric
