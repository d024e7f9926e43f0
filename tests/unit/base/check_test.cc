#include "common/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <string>
#include <thread>

#include "common/base/log.h"
#include "common/base/thread_name.h"

namespace tarn {
namespace {

TEST(CheckDeathTest, names_the_file_the_line_and_the_expression) {
  const int one = 1;
  EXPECT_DEATH(TARN_CHECK(one == 2), "check_test\\.cc:[0-9]+: check failed: one == 2");
}

TEST(Check, evaluates_its_expression_once) {
  int evaluations = 0;
  TARN_CHECK(++evaluations > 0);
  EXPECT_EQ(evaluations, 1);
}

TEST(Check, is_one_statement_below_an_if_with_an_else) {
  bool went_to_else = false;
  if (went_to_else)
    TARN_CHECK(false);
  else
    went_to_else = true;
  EXPECT_TRUE(went_to_else);
}

TEST(DcheckDeathTest, holds_in_debug_builds_and_costs_nothing_in_others) {
  int evaluations = 0;
  TARN_DCHECK(++evaluations > 0);
#ifdef NDEBUG
  EXPECT_EQ(evaluations, 0);
  TARN_DCHECK(evaluations == 77);
#else
  EXPECT_EQ(evaluations, 1);
  EXPECT_DEATH(TARN_DCHECK(evaluations == 77), "check failed: evaluations == 77");
#endif
}

std::string name_of_this_thread() {
  char name[32] = {};
  ::pthread_getname_np(::pthread_self(), name, sizeof(name));
  return name;
}

TEST(ThreadName, is_kept_to_the_15_characters_that_the_kernel_shows) {
  for (const std::string name : {"lane-0", "exactly-15-long", "a name that is much too long", ""}) {
    std::string seen;
    std::thread([&] {
      set_thread_name(name);
      seen = name_of_this_thread();
    }).join();
    EXPECT_EQ(seen, name.substr(0, 15));
  }
}

// What a log of this level prints to stderr when one line of each level is written.
std::string logged(const std::string& program, const std::string& level) {
  testing::internal::CaptureStderr();
  EXPECT_TRUE(log::start(program, level).is_ok()) << level;
  log::debug("of {}", "debug");
  log::info("of {}", "info");
  log::warn("of {}", "warning");
  log::error("of {}", "error");
  return testing::internal::GetCapturedStderr();
}

TEST(Log, prints_its_level_and_what_is_worse) {
  const std::string levels[] = {"debug", "info", "warning", "error", "off"};
  for (size_t from = 0; from < std::size(levels); ++from) {
    const std::string text = logged("check_" + levels[from], levels[from]);
    for (size_t i = 0; i + 1 < std::size(levels); ++i) {
      EXPECT_EQ(text.find("of " + levels[i]) != std::string::npos, i >= from)
          << levels[from] << " prints " << levels[i] << ":\n"
          << text;
    }
  }
}

TEST(Log, begins_each_line_with_time_level_and_program) {
  EXPECT_THAT(logged("check_program", "warn"),
              testing::ContainsRegex("^20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:"
                                     "[0-6][0-9]\\.[0-9][0-9][0-9]Z warning check_program "
                                     "[0-9]+\\] of warning\n"));
}

TEST(Log, can_be_started_again_with_another_level) {
  EXPECT_NE(logged("check_again", "debug").find("of debug"), std::string::npos);
  EXPECT_EQ(logged("check_again", "error").find("of warning"), std::string::npos);
}

// As one that uses the SDK has not.
TEST(Log, of_a_process_that_has_not_started_it_has_warnings_on_stderr) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto write_and_end = [] {
    log::info("of {}", "info");
    log::warn("of {}", "warning");
    std::exit(0);
  };
  EXPECT_EXIT(write_and_end(), testing::ExitedWithCode(0),
              testing::AllOf(testing::HasSubstr("Z warning tarn"), testing::HasSubstr("of warning"),
                             testing::Not(testing::HasSubstr("of info"))));
}

TEST(Log, refuses_a_level_that_does_not_exist_and_lists_those_that_do) {
  for (const std::string level : {"loud", "", "INFO", "3"}) {
    EXPECT_EQ(
        log::start("check_bad", level),
        invalid_argument("log level '" + level + "': use debug, info, warning, error or off"));
  }
}

}  // namespace
}  // namespace tarn
