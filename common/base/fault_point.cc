#include "common/base/fault_point.h"

#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <map>
#include <thread>
#include <vector>

#include "common/base/mutex.h"

namespace tarn::fault {
namespace {

struct Point {
  Plan plan;
  uint64_t hit_count = 0;
  bool armed = false;
};

Mutex g_mutex;

std::map<std::string, Point, std::less<>>& points() TARN_REQUIRES(g_mutex) {
  static std::map<std::string, Point, std::less<>> all;
  return all;
}

// Counts the hit and says what to do about it.
Plan next_step(std::string_view name) {
  const MutexLock lock(g_mutex);
  auto found = points().find(name);
  if (found == points().end()) found = points().emplace(std::string(name), Point{}).first;
  Point& point = found->second;
  const uint64_t earlier = point.hit_count++;
  Plan step = point.plan;
  const bool due = point.armed && earlier >= step.skip &&
                   (step.times == 0 || earlier < uint64_t{step.skip} + step.times);
  if (!due) step.action = Action::none;
  return step;
}

bool parse_action(std::string_view word, Action* action) {
  if (word == "fail") {
    *action = Action::fail;
  } else if (word == "crash") {
    *action = Action::crash;
  } else if (word == "hang") {
    *action = Action::hang;
  } else {
    return false;
  }
  return true;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool parse_number(std::string_view word, uint32_t* number) {
  const auto parsed = std::from_chars(word.data(), word.data() + word.size(), *number);
  return parsed.ec == std::errc() && parsed.ptr == word.data() + word.size();
}

Status arm_one(std::string_view text) {
  const Status bad = invalid_argument("TARN_FAULTS: '" + std::string(text) +
                                      "' is not name=action[:skip[:times[:delay_ms]]]");
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string_view::npos) return bad;
  const auto fields = split(text.substr(equals + 1), ':');
  Plan plan;
  if (fields.size() > 4 || !parse_action(fields[0], &plan.action)) return bad;
  uint32_t* const numbers[] = {&plan.skip, &plan.times, &plan.delay_ms};
  for (size_t i = 1; i < fields.size(); ++i) {
    if (!parse_number(fields[i], numbers[i - 1])) return bad;
  }
  arm(text.substr(0, equals), plan);
  return Status::ok();
}

}  // namespace

std::atomic<bool> g_any_armed{false};

void arm(std::string_view name, Plan plan) {
  const MutexLock lock(g_mutex);
  points()[std::string(name)] = {plan, 0, true};
  g_any_armed.store(true);
}

void disarm_all() {
  const MutexLock lock(g_mutex);
  points().clear();
  g_any_armed.store(false);
}

uint64_t hits(std::string_view name) {
  const MutexLock lock(g_mutex);
  const auto found = points().find(name);
  return found == points().end() ? 0 : found->second.hit_count;
}

Status arm_from_environment() {
  const char* text = std::getenv("TARN_FAULTS");
  if (text == nullptr || *text == '\0') return Status::ok();
  for (const auto part : split(text, ','))
    TARN_RETURN_IF_ERROR(arm_one(part));
  return Status::ok();
}

bool hit(std::string_view name) {
  const Plan step = next_step(name);
  if (step.action == Action::crash) ::kill(::getpid(), SIGKILL);
  if (step.action == Action::hang) {
    std::this_thread::sleep_for(std::chrono::milliseconds(step.delay_ms));
  }
  return step.action == Action::fail;
}

}  // namespace tarn::fault
