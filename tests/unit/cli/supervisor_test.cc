#include "cli/supervisor.h"

#include <atomic>
#include <csignal>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "tests/unit/cli/tarn_run.h"

namespace tarn::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Restart, comes_at_once_unless_the_child_dies_young_again_and_again) {
  RestartPolicy policy;
  EXPECT_EQ(policy.pause_after(Millis(10)), Millis(0));
  EXPECT_EQ(policy.pause_after(Millis(10)), Millis(100));
  EXPECT_EQ(policy.pause_after(Millis(10)), Millis(200));
  for (int i = 0; i < 20; ++i)
    EXPECT_LE(policy.pause_after(Millis(0)), RestartPolicy::kPauseMax);
  EXPECT_EQ(policy.pause_after(Millis(0)), RestartPolicy::kPauseMax);
  EXPECT_EQ(policy.pause_after(Millis(10'000)), Millis(0));
}

class Supervised : public InFolder {
 protected:
  // Runs `script` until `until` says so, writing down what it is told.
  Status run(const std::string& script, std::function<bool(const ChildEvent&)> until) {
    SupervisorOptions options;
    options.command = {"/bin/sh", "-c", script};
    options.log_file = at("log");
    options.stop_timeout = Millis(200);
    options.on_event = [&, until](const ChildEvent& event) {
      const char* const kind = event.kind == ChildEvent::Kind::ready  ? "ready "
                               : event.kind == ChildEvent::Kind::died ? "died "
                                                                      : "tick ";
      told.push_back(kind + event.words);
      pid = event.pid;
      return !until(event);
    };
    options.tick = tick;
    auto supervisor = Supervisor::open(std::move(options));
    EXPECT_TRUE(supervisor.has_value());
    return supervisor->run();
  }

  Millis tick{3'600'000};
  std::vector<std::string> told;
  pid_t pid = 0;
};

bool is_ready(const ChildEvent& event) {
  return event.kind == ChildEvent::Kind::ready;
}

TEST_F(Supervised, child_that_dies_is_started_again) {
  const Status status = run("echo ready $$ >&3; exec sleep 60", [](const ChildEvent& event) {
    if (is_ready(event) && event.starts < 3) ::kill(event.pid, SIGKILL);
    return is_ready(event) && event.starts == 3;
  });
  EXPECT_TRUE(status.is_ok());
  ASSERT_EQ(told.size(), 5u);
  EXPECT_EQ(told[1], "died signal 9 (Killed)");
  EXPECT_EQ(told[3], "died signal 9 (Killed)");
  EXPECT_EQ(told[4], "ready " + std::to_string(pid));
}

TEST_F(Supervised, child_that_dies_is_noticed_whoever_takes_its_signal) {
  // A thread, of a library perhaps, that has no signal blocked: the kernel gives it the SIGCHLD.
  std::atomic<bool> is_over = false;
  std::thread other([&] {
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    while (!is_over)
      std::this_thread::sleep_for(Millis(1));
  });
  const Status status = run("echo ready >&3; exec sleep 60", [](const ChildEvent& event) {
    if (is_ready(event) && event.starts < 3) ::kill(event.pid, SIGKILL);
    return is_ready(event) && event.starts == 3;
  });
  is_over = true;
  other.join();
  EXPECT_TRUE(status.is_ok());
  EXPECT_EQ(told.size(), 5u);
}

TEST_F(Supervised, child_is_gone_when_it_was_told_to_stop) {
  EXPECT_TRUE(run("echo ready >&3; exec sleep 60", is_ready).is_ok());
  EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(Supervised, child_that_will_not_stop_is_killed) {
  EXPECT_TRUE(run("trap '' TERM; echo ready >&3; while :; do sleep 1; done", is_ready).is_ok());
  EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(Supervised, child_that_cannot_start_says_why) {
  const Status status =
      run("echo 'failed 7 the port is taken' >&3", [](const ChildEvent&) { return false; });
  EXPECT_EQ(status, unavailable("the port is taken"));
  const Status garbled =
      run("echo 'failed like that' >&3", [](const ChildEvent&) { return false; });
  EXPECT_EQ(garbled.code(), Code::internal);
}

TEST_F(Supervised, child_that_fails_later_is_started_again) {
  const Status status = run("echo ready >&3; exit 3", [](const ChildEvent& event) {
    return is_ready(event) && event.starts == 2;
  });
  EXPECT_TRUE(status.is_ok());
  EXPECT_THAT(told, ElementsAre("ready ", "died exit status 3", "ready "));
}

TEST_F(Supervised, childs_words_on_stderr_go_to_the_log) {
  EXPECT_TRUE(run("echo trouble >&2; echo ready >&3; exec sleep 60", is_ready).is_ok());
  EXPECT_THAT(file_text(at("log")), HasSubstr("trouble"));
}

TEST_F(Supervised, owner_is_told_the_time) {
  tick = Millis(1);
  EXPECT_TRUE(run("exec sleep 60", [](const ChildEvent& event) {
                return event.kind == ChildEvent::Kind::tick;
              }).is_ok());
  EXPECT_THAT(told, ElementsAre("tick "));
}

TEST_F(Supervised, a_signal_stops_both) {
  EXPECT_TRUE(run("echo ready >&3; exec sleep 60", [](const ChildEvent&) {
                ::kill(::getpid(), SIGTERM);
                return false;
              }).is_ok());
  EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(Supervised, nothing_is_started_without_a_pipe) {
  fault::arm("dev.spawn", {fault::Action::fail});
  EXPECT_EQ(run("exit 0", is_ready).code(), Code::unavailable);
  fault::disarm_all();
}

TEST_F(Supervised, a_program_that_is_none_is_told) {
  SupervisorOptions options;
  options.command = {"/nonexistent/program"};
  options.log_file = at("log");
  options.on_event = [](const ChildEvent&) { return true; };
  EXPECT_EQ(Supervisor::open(std::move(options))->run().code(), Code::unavailable);
}

}  // namespace
}  // namespace tarn::cli
