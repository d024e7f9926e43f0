#include "benchmarks/load/child.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "benchmarks/load/baseline_target.h"

namespace tarn::load {
namespace {

constexpr int kLongMs = 10'000;

ChildOptions shell(const std::string& script) {
  ChildOptions options;
  options.words = {"/bin/sh", "-c", script};
  options.is_talking = true;
  return options;
}

TEST(ChildTest, SaysAndHearsLines) {
  Stage stage;
  auto child = Child::start(stage, shell("while read line; do echo \"<$line>\"; done"));
  ASSERT_TRUE(child);
  ASSERT_TRUE(child->say("one"));
  ASSERT_TRUE(child->say("two"));
  EXPECT_EQ(child->hear(kLongMs).value(), "<one>");
  EXPECT_EQ(child->hear(kLongMs).value(), "<two>");
}

TEST(ChildTest, TellsHowItEnded) {
  Stage stage;
  auto child = Child::start(stage, shell("exit 7"));
  ASSERT_TRUE(child);
  EXPECT_EQ(child->wait_for(kLongMs), 7);
  EXPECT_FALSE(child->is_running());
  auto killed = Child::start(stage, shell("kill -TERM $$"));
  ASSERT_TRUE(killed);
  EXPECT_EQ(killed->wait_for(kLongMs), 128 + SIGTERM);
}

TEST(ChildTest, HearingTheDeadAndTheSilentEnds) {
  Stage stage;
  auto dead = Child::start(stage, shell("exit 0"));
  ASSERT_TRUE(dead);
  EXPECT_EQ(dead->hear(kLongMs).error().outcome, Outcome::unavailable);
  auto silent = Child::start(stage, shell("read line"));
  ASSERT_TRUE(silent);
  EXPECT_EQ(silent->hear(20).error().outcome, Outcome::deadline_exceeded);
}

TEST(ChildTest, SayingToTheDeadIsAnError) {
  Stage stage;
  auto child = Child::start(stage, shell("exit 0"));
  ASSERT_TRUE(child);
  const pid_t pid = child->pid();
  siginfo_t info;
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(child->say("anyone there?"));
}

TEST(ChildTest, WhatCannotBeStartedIsAnError) {
  Stage stage;
  ChildOptions options;
  options.words = {"/no/such/program"};
  const auto child = Child::start(stage, options);
  ASSERT_FALSE(child);
  EXPECT_NE(child.error().message.find("/no/such/program"), std::string::npos);
}

TEST(ChildTest, LogAndEnvironmentAreItsOwn) {
  Stage stage;
  const std::string log = stage.folder().value() + "/log";
  ChildOptions options;
  options.words = {"/bin/sh", "-c", "echo $TARN_BENCH_TEST; echo err >&2"};
  options.environment = {"TARN_BENCH_TEST=set"};
  options.log = log;
  auto child = Child::start(stage, options);
  ASSERT_TRUE(child);
  ASSERT_EQ(child->wait_for(kLongMs), 0);
  std::ifstream file(log);
  std::string first;
  std::string second;
  file >> first >> second;
  EXPECT_EQ(first, "set");
  EXPECT_EQ(second, "err");
}

TEST(ChildTest, KilledByItsDestructor) {
  Stage stage;
  pid_t pid = 0;
  {
    auto child = Child::start(stage, shell("read line"));
    ASSERT_TRUE(child);
    pid = child->pid();
    EXPECT_TRUE(child->is_running());
  }
  EXPECT_EQ(kill(pid, 0), -1);
}

TEST(StageTest, StrikingLeavesNothing) {
  Stage stage;
  const std::string folder = stage.folder().value();
  EXPECT_TRUE(std::filesystem::is_directory(folder));
  EXPECT_EQ(stage.folder().value(), folder);
  auto child = Child::start(stage, shell("read line"));
  ASSERT_TRUE(child);
  const pid_t pid = child->pid();
  stage.strike();
  EXPECT_FALSE(std::filesystem::exists(folder));
  EXPECT_EQ(kill(pid, 0), -1);
  stage.strike();
}

TEST(CpuTimeTest, OwnTimeRises) {
  const int64_t before_ns = own_cpu_ns();
  uint64_t x = 1;
  while (own_cpu_ns() - before_ns < 1'000'000)
    x = x * 3 + 1;
  EXPECT_GT(own_cpu_ns(), before_ns) << x;
  EXPECT_EQ(cpu_ns_of(-1), 0);
}

BaselineOptions baseline(const std::string& name) {
  BaselineOptions options;
  options.name = name;
  options.words = {TARN_BINARY_DIR "/benchmarks/tarn-bench-" + name, "--pool-mib", "8"};
  return options;
}

class BaselineTest : public testing::TestWithParam<std::tuple<const char*, Op>> {};

TEST_P(BaselineTest, MovesBlocksIntact) {
  Stage stage;
  BaselineOptions options = baseline(std::get<0>(GetParam()));
  options.workload = {std::get<1>(GetParam()), 256 << 10, 4};
  auto target = BaselineTarget::open(stage, options);
  ASSERT_TRUE(target) << target.error().message;
  const auto slice = target.value()->run(50);
  ASSERT_TRUE(slice) << slice.error().message;
  EXPECT_GT(slice.value().blocks, 0u);
  EXPECT_EQ(slice.value().errors, 0u);
  EXPECT_EQ(slice.value().bytes, slice.value().blocks * (256 << 10));
  EXPECT_EQ(slice.value().latency.count(), slice.value().blocks);
  EXPECT_GT(slice.value().cpu_ns, 0);
}

INSTANTIATE_TEST_SUITE_P(Ops, BaselineTest,
                         testing::Combine(testing::Values("ucx", "copy"),
                                          testing::Values(Op::get, Op::put)));

TEST(BaselineTest, TellsWhyItHasEndedBeforeItWasAsked) {
  Stage stage;
  BaselineOptions options;
  options.name = "talker";
  options.words = {"/bin/sh", "-c", "echo error no module"};
  auto target = BaselineTarget::open(stage, options);
  ASSERT_TRUE(target);
  const auto slice = target.value()->run(10);
  ASSERT_FALSE(slice);
  EXPECT_EQ(slice.error().message, "talker says: error no module");
}

TEST(BaselineTest, WhatDoesNotFitIsAnError) {
  for (const char* const name : {"ucx", "copy"}) {
    Stage stage;
    BaselineOptions options = baseline(name);
    options.workload = {Op::get, 64 << 20, 256};
    auto target = BaselineTarget::open(stage, options);
    ASSERT_TRUE(target);
    const auto slice = target.value()->run(10);
    ASSERT_FALSE(slice) << name;
    EXPECT_THAT(slice.error().message, testing::StartsWith(std::string(name) + " says: error "));
  }
}

}  // namespace
}  // namespace tarn::load
