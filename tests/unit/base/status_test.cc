#include "common/base/status.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace tarn {
namespace {

struct CodeRow {
  int number;
  const char* name;
  bool retryable;
};

// The numbers travel on the wire and in error details: none of these rows may ever change.
constexpr CodeRow kCodes[] = {
    {0, "ok", false},
    {1, "not_found", false},
    {2, "exists", false},
    {3, "kept_less", false},
    {4, "extent_full", false},
    {5, "conflict", false},
    {6, "stale_epoch", true},
    {7, "unavailable", true},
    {8, "overloaded", true},
    {9, "deadline_exceeded", false},
    {10, "cancelled", false},
    {11, "corrupt", true},
    {12, "invalid_argument", false},
    {13, "unauthenticated", false},
    {14, "permission_denied", false},
    {15, "unsupported", false},
    {16, "internal", false},
};

TEST(Code, keeps_its_number_its_name_and_whether_to_try_again) {
  ASSERT_EQ(std::size(kCodes), static_cast<size_t>(kCodeCount));
  for (const CodeRow& row : kCodes) {
    const auto code = static_cast<Code>(row.number);
    EXPECT_EQ(code_name(code), row.name);
    EXPECT_EQ(is_retryable(code), row.retryable) << row.name;
  }
}

TEST(Code, of_a_newer_peer_is_unknown_and_not_retried) {
  for (int number = kCodeCount; number <= UINT8_MAX; ++number) {
    EXPECT_EQ(code_name(static_cast<Code>(number)), "unknown");
    EXPECT_FALSE(is_retryable(static_cast<Code>(number)));
  }
}

TEST(Status, each_maker_gives_the_code_of_its_name) {
  const std::vector<std::pair<Status, Code>> made = {
      {not_found("m"), Code::not_found},
      {already_exists("m"), Code::exists},
      {conflict("m"), Code::conflict},
      {stale_epoch("m"), Code::stale_epoch},
      {unavailable("m"), Code::unavailable},
      {overloaded("m"), Code::overloaded},
      {deadline_exceeded("m"), Code::deadline_exceeded},
      {cancelled("m"), Code::cancelled},
      {corrupt("m"), Code::corrupt},
      {invalid_argument("m"), Code::invalid_argument},
      {unauthenticated("m"), Code::unauthenticated},
      {permission_denied("m"), Code::permission_denied},
      {unsupported("m"), Code::unsupported},
      {internal_error("m"), Code::internal},
  };
  for (const auto& [status, code] : made) {
    EXPECT_EQ(status, Status(code, "m"));
    EXPECT_FALSE(status.is_ok());
    EXPECT_EQ(status.to_string(), std::string(code_name(code)) + ": m");
  }
}

TEST(Status, is_ok_by_default_and_says_no_more) {
  EXPECT_EQ(Status(), Status::ok());
  EXPECT_EQ(Status::ok().to_string(), "ok");
  EXPECT_EQ(Status(Code::corrupt, "").to_string(), "corrupt");
}

TEST(Status, differs_by_code_and_by_message) {
  EXPECT_NE(not_found("a"), not_found("b"));
  EXPECT_NE(not_found("a"), cancelled("a"));
  const Status kept = not_found("a long message that does not fit a short string's own room");
  Status copy = kept;
  const Status moved = std::move(copy);
  EXPECT_EQ(moved, kept);
}

// How often a macro's expression runs, and what runs after it.
struct Steps {
  Status first;
  int evaluations = 0;
  bool went_on = false;

  Status next() {
    ++evaluations;
    return first;
  }
  Status run() {
    TARN_RETURN_IF_ERROR(next());
    went_on = true;
    return cancelled("the end");
  }
};

TEST(ReturnIfError, evaluates_once_and_goes_on_only_when_it_is_ok) {
  Steps good;
  EXPECT_EQ(good.run().code(), Code::cancelled);
  EXPECT_EQ(good.evaluations, 1);
  Steps bad{overloaded("full")};
  EXPECT_EQ(bad.run(), overloaded("full"));
  EXPECT_EQ(bad.evaluations, 1);
  EXPECT_FALSE(bad.went_on);
}

TEST(ReturnIfError, is_one_statement_below_an_if_with_an_else) {
  const auto run = [](bool takes_it) -> Status {
    if (takes_it)
      TARN_RETURN_IF_ERROR(not_found("taken"));
    else
      return conflict("else");
    return Status::ok();
  };
  EXPECT_EQ(run(true), not_found("taken"));
  EXPECT_EQ(run(false), conflict("else"));
}

using Box = std::unique_ptr<int>;

Result<Box> boxed(int n) {
  if (n < 0) return invalid_argument("n: is negative");
  return std::make_unique<int>(n);
}

Result<int> sum_of(const std::vector<int>& numbers) {
  int sum = 0;
  for (const int n : numbers) {
    TARN_ASSIGN_OR_RETURN(const Box box, boxed(n));
    TARN_ASSIGN_OR_RETURN(auto again, boxed(*box));
    sum += *box + *again;
  }
  return sum;
}

TEST(AssignOrReturn, hands_out_values_that_only_move_and_stops_at_the_first_error) {
  EXPECT_EQ(sum_of({1, 2, 3}).value(), 12);
  EXPECT_EQ(sum_of({}).value(), 0);
  EXPECT_EQ(sum_of({1, -1, 3}).error(), invalid_argument("n: is negative"));
}

TEST(AssignOrReturn, assigns_to_what_exists_and_leaves_it_alone_on_an_error) {
  int target = 7;
  const auto assign = [&](Result<int> from) -> Status {
    TARN_ASSIGN_OR_RETURN(target, std::move(from));
    return Status::ok();
  };
  EXPECT_FALSE(assign(unavailable("away")).is_ok());
  EXPECT_EQ(target, 7);
  EXPECT_TRUE(assign(8).is_ok());
  EXPECT_EQ(target, 8);
}

TEST(Result, gives_its_value_by_reference_by_arrow_and_by_move) {
  Result<std::string> text = std::string("abc");
  *text += "d";
  EXPECT_EQ(text->size(), 4u);
  EXPECT_EQ(text.status(), Status::ok());
  const Result<std::string> copy = text;
  const std::string taken = *std::move(text);
  EXPECT_EQ(taken, "abcd");
  EXPECT_EQ(*copy, "abcd");
  EXPECT_EQ(copy.value_or("else"), "abcd");
}

TEST(Result, keeps_the_whole_error) {
  const Result<Box> failed = boxed(-1);
  EXPECT_FALSE(failed.has_value());
  EXPECT_FALSE(static_cast<bool>(failed));
  EXPECT_EQ(failed.status(), failed.error());
  EXPECT_EQ(failed.error().message(), "n: is negative");
  const Result<std::string> text = not_found("gone");
  EXPECT_EQ(text.value_or("else"), "else");
}

TEST(ResultDeathTest, asked_for_what_it_does_not_hold_ends_the_process) {
  Result<Box> failed = boxed(-1);
  const Result<Box> good = boxed(1);
  EXPECT_DEATH((void)*failed, "check failed: has_value");
  EXPECT_DEATH((void)failed->get(), "check failed: has_value");
  EXPECT_DEATH((void)std::move(failed).value(), "check failed: has_value");
  EXPECT_DEATH((void)good.error(), "check failed: !has_value");
}

// An ok without a value would be a success that nobody can use.
TEST(ResultDeathTest, is_never_made_of_an_ok) {
  EXPECT_DEATH((void)Result<int>(Status::ok()), "check failed");
}

}  // namespace
}  // namespace tarn
