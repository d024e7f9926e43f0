#include "sdk/cpp/src/senders.h"

#include <algorithm>

#include "common/base/check.h"

namespace tarn::sdk {
namespace {

// A phase: what lands of each sender, and the least time. After the longest pause it begins anew.
constexpr uint32_t kPhaseBlocksEach = 16;
constexpr Nanos kPhaseLeast = std::chrono::milliseconds(20);
constexpr Nanos kIdleMost = std::chrono::seconds(1);
// Of what more senders could be faster at best.
constexpr double kGainShare = 0.5;
constexpr double kRateShare = 0.25;  // of the newest phase in the mean
constexpr int kUsualShare = 8;       // of the newest in the mean
constexpr double kStallTimes = 4;

}  // namespace

Senders::Sender* Senders::find(ServerId server) {
  const auto found = std::find_if(x_senders.begin(), x_senders.end(),
                                  [&](const Sender& each) { return each.server == server; });
  return found == x_senders.end() ? nullptr : &*found;
}

bool Senders::ask(ServerId server, uint64_t bytes, Instant now) {
  TARN_DCHECK(bytes > 0);
  Sender* sender = find(server);
  const bool has_place = sender != nullptr && sender->has_place;
  const bool is_harmless = !has_place && x_bytes + bytes <= kHarmlessBytes;
  if (!is_harmless && !may_send(sender, server, bytes, now)) return false;
  leave_line(server);
  if (x_senders.empty() && x_idle_since != kNever) {
    const Nanos idle = now - x_idle_since;
    x_phase_began = x_phase_began + idle;
    if (idle > kIdleMost) begin_phase(now);
  }
  if (sender == nullptr) sender = &x_senders.emplace_back(Sender{.server = server, .heard = now});
  sender->has_place |= !is_harmless;
  sender->bytes += bytes;
  sender->taken += bytes;
  sender->largest = std::max(sender->largest, bytes);
  x_bytes += bytes;
  return true;
}

bool Senders::may_send(Sender* sender, ServerId server, uint64_t bytes, Instant now) {
  if (sender == nullptr || !sender->has_place) return take_place(server, now);
  if (sender->taken + bytes <= kTurnBytes) return true;
  if (x_line.empty() && busy() <= x_most) return true;
  // Its turn is over: another one waits, or has begun already while the last of it comes.
  stand_in_line(server, now);
  return false;
}

uint32_t Senders::busy() const {
  return static_cast<uint32_t>(std::count_if(x_senders.begin(), x_senders.end(), is_busy));
}

std::vector<Senders::Waiter>::iterator Senders::stand_in_line(ServerId server, Instant now) {
  std::erase_if(x_line, [&](const Waiter& each) { return now - each.asked > kPatience; });
  auto waiter = std::find_if(x_line.begin(), x_line.end(),
                             [&](const Waiter& each) { return each.server == server; });
  if (waiter == x_line.end()) waiter = x_line.insert(waiter, {server, now});
  waiter->asked = now;
  return waiter;
}

// The first in line come first.
bool Senders::take_place(ServerId server, Instant now) {
  const auto waiter = stand_in_line(server, now);
  const auto before = static_cast<uint64_t>(waiter - x_line.begin());
  look_for_stalls(now);
  // One of them at a time makes room before it has ended.
  const bool one_ends = std::any_of(x_senders.begin(), x_senders.end(), [](const Sender& each) {
    return is_busy(each) && each.is_ending();
  });
  return busy() - (one_ends ? 1 : 0) + before < x_most;
}

void Senders::stay(ServerId server, Instant now) {
  for (Waiter& each : x_line)
    if (each.server == server) each.asked = now;
}

void Senders::leave_line(ServerId server) {
  std::erase_if(x_line, [&](const Waiter& each) { return each.server == server; });
}

void Senders::on_end(ServerId server, uint64_t bytes, Ending ending, Instant now) {
  // Before this answer hides it: whoever is back after a timeout of TCP has stalled.
  look_for_stalls(now);
  Sender* const sender = find(server);
  TARN_CHECK(sender != nullptr && sender->bytes >= bytes && x_bytes >= bytes);
  const bool was_ending = sender->is_ending();
  sender->bytes -= bytes;
  x_bytes -= bytes;
  if (!x_line.empty() && !was_ending && sender->is_ending()) ++x_rooms;
  if (ending == Ending::landed) {
    if (!sender->is_stalled) note_usual(bytes, now - sender->heard);
    note_landed(bytes, now);
  }
  if (ending != Ending::unheard) {
    sender->heard = now;
    sender->is_stalled = false;
  }
  if (sender->bytes > 0) return;
  *sender = x_senders.back();
  x_senders.pop_back();
  if (!x_line.empty()) ++x_rooms;
  // What is idle while somebody waits is the price of few senders.
  if (x_senders.empty()) x_idle_since = x_line.empty() ? now : kNever;
}

void Senders::excuse(Nanos pause) {
  for (Sender& sender : x_senders)
    sender.heard = sender.heard + pause;
}

// What lands in one turn of the loop says nothing of how long one takes.
void Senders::note_usual(uint64_t bytes, Nanos took) {
  if (took <= Nanos(0)) return;
  if (x_usual == Nanos(0)) {
    x_usual = took;
    x_usual_bytes = static_cast<double>(bytes);
    return;
  }
  x_usual += (took - x_usual) / kUsualShare;
  x_usual_bytes += (static_cast<double>(bytes) - x_usual_bytes) / kUsualShare;
}

void Senders::begin_phase(Instant now) {
  x_phase_began = now;
  x_phase_bytes = 0;
  x_phase_blocks = 0;
  x_has_waited = false;
}

void Senders::note_landed(uint64_t bytes, Instant now) {
  x_has_waited |= !x_line.empty();
  x_phase_bytes += bytes;
  ++x_phase_blocks;
  const Nanos took = now - x_phase_began;
  if (x_phase_blocks < kPhaseBlocksEach * x_most || took < kPhaseLeast) return;
  const std::chrono::duration<double> seconds = took;
  const double rate = static_cast<double>(x_phase_bytes) / seconds.count();
  if (x_before == 0) x_rate = x_rate == 0 ? rate : x_rate + kRateShare * (rate - x_rate);
  if (x_before != 0) {
    end_trial(rate, now);
  } else if (x_has_waited && x_most < kMost && (!x_is_careful || now >= x_next_trial)) {
    if (x_is_careful) x_before = x_most;
    x_most = std::min(kMost, x_most + std::max(1u, x_most / 4));
    ++x_rooms;
  }
  begin_phase(now);
}

void Senders::end_trial(double rate, Instant now) {
  const double times = static_cast<double>(x_most) / x_before;
  if (rate >= x_rate * (1 + (times - 1) * kGainShare)) {
    x_rate = rate;
    x_trial_pause = kTrialPause;
    x_next_trial = now;
  } else {
    x_most = x_before;
    x_next_trial = now + x_trial_pause;
    x_trial_pause = std::min(2 * x_trial_pause, kTrialPauseMost);
  }
  x_before = 0;
}

Nanos Senders::patience_with(const Sender& sender) const {
  if (x_usual == Nanos(0)) return kStallFirst;
  const double times = std::max(1.0, static_cast<double>(sender.largest) / x_usual_bytes);
  const std::chrono::duration<double, std::nano> usual = x_usual;
  return std::max(kStallLeast, std::chrono::duration_cast<Nanos>(kStallTimes * times * usual));
}

// Whoever has stalled takes no place: it may be dead as well.
void Senders::look_for_stalls(Instant now) {
  for (Sender& sender : x_senders) {
    const Nanos patience = patience_with(sender);
    if (sender.is_stalled || now - sender.heard < patience) continue;
    sender.is_stalled = true;
    ++x_stalls;
    // What was lost together counts once.
    if (now - x_stalled >= patience) note_stall(now);
  }
}

void Senders::note_stall(Instant now) {
  x_stalled = now;
  x_most = x_is_careful ? std::max(1u, x_most / 2) : 1;
  if (x_before != 0) x_most = std::min(x_most, x_before);
  x_is_careful = true;
  x_before = 0;
  x_rate = 0;
  x_next_trial = now + x_trial_pause;
  x_trial_pause = std::min(2 * x_trial_pause, kTrialPauseMost);
  begin_phase(now);
}

}  // namespace tarn::sdk
