#include "sdk/cpp/src/senders.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace tarn::sdk {
namespace {

// A phase: what lands of each sender, and the least time.
constexpr uint32_t kPhaseBlocksEach = 16;
constexpr Nanos kPhaseLeast = std::chrono::milliseconds(20);
// Of what more senders could be faster at best.
constexpr double kGainShare = 0.5;
constexpr int kUsualShare = 8;  // of the newest in the mean
constexpr int kStallTimes = 4;

}  // namespace

Senders::Sender* Senders::find(ServerId server) {
  const auto found = std::find_if(x_senders.begin(), x_senders.end(),
                                  [&](const Sender& each) { return each.server == server; });
  return found == x_senders.end() ? nullptr : &*found;
}

bool Senders::may_send(ServerId server, uint64_t bytes, Instant now) {
  if (const Sender* const sender = find(server); sender != nullptr) {
    return x_line.empty() || sender->taken + bytes <= kTurnBytes;
  }
  return x_bytes + bytes <= kHarmlessBytes || take_place(server, now);
}

// The first in line come first.
bool Senders::take_place(ServerId server, Instant now) {
  std::erase_if(x_line, [&](const Waiter& each) { return now - each.asked > kPatience; });
  auto waiter = std::find_if(x_line.begin(), x_line.end(),
                             [&](const Waiter& each) { return each.server == server; });
  if (waiter == x_line.end()) waiter = x_line.insert(waiter, {server, now});
  waiter->asked = now;
  look_for_stalls(now);
  const auto busy = static_cast<uint64_t>(std::count_if(
      x_senders.begin(), x_senders.end(), [](const Sender& each) { return !each.is_stalled; }));
  if (busy + static_cast<uint64_t>(waiter - x_line.begin()) >= x_most) return false;
  x_line.erase(waiter);
  return true;
}

void Senders::on_asked(ServerId server, uint64_t bytes, Instant now) {
  Sender* sender = find(server);
  if (x_senders.empty()) begin_phase(now);
  if (sender == nullptr) sender = &x_senders.emplace_back(Sender{.server = server, .heard = now});
  sender->bytes += bytes;
  sender->taken += bytes;
  x_bytes += bytes;
}

void Senders::on_end(ServerId server, uint64_t bytes, Instant now) {
  Sender* const sender = find(server);
  TARN_CHECK(sender != nullptr && sender->bytes >= bytes && x_bytes >= bytes);
  sender->bytes -= bytes;
  x_bytes -= bytes;
  if (!sender->is_stalled) {
    // What lands in one turn of the loop says nothing of how long one takes.
    const Nanos took = now - sender->heard;
    if (x_usual == Nanos(0)) {
      x_usual = took;
    } else if (took > Nanos(0)) {
      x_usual += (took - x_usual) / kUsualShare;
    }
  }
  note_landed(bytes, now);
  sender->heard = now;
  sender->is_stalled = false;
  if (sender->bytes > 0) return;
  *sender = x_senders.back();
  x_senders.pop_back();
  x_has_room |= !x_line.empty();
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
  const double rate =
      static_cast<double>(x_phase_bytes) / std::chrono::duration<double>(took).count();
  if (x_before != 0) {
    end_trial(rate, now);
  } else if (x_has_waited && x_most < kMost && (!x_is_careful || now >= x_next_trial)) {
    if (x_is_careful) x_before = x_most;
    x_rate = rate;
    x_most += std::max(1u, x_most / 4);
    x_has_room = true;
  }
  begin_phase(now);
}

void Senders::end_trial(double rate, Instant now) {
  const double most = static_cast<double>(x_most) / x_before;
  if (rate >= x_rate * (1 + (most - 1) * kGainShare)) {
    x_trial_pause = kTrialPause;
    x_next_trial = now;
  } else {
    x_most = x_before;
    x_next_trial = now + x_trial_pause;
    x_trial_pause = std::min(2 * x_trial_pause, kTrialPauseMost);
  }
  x_before = 0;
}

// Whoever has stalled takes no place: it may be dead as well.
void Senders::look_for_stalls(Instant now) {
  const Nanos stall =
      x_usual == Nanos(0) ? kStallFirst : std::max(kStallLeast, kStallTimes * x_usual);
  for (Sender& sender : x_senders) {
    if (sender.is_stalled || now - sender.heard < stall) continue;
    sender.is_stalled = true;
    ++x_stalls;
    // What was lost together counts once.
    if (now - x_stalled >= stall) note_stall(now);
  }
}

void Senders::note_stall(Instant now) {
  x_stalled = now;
  x_most = x_is_careful ? std::max(1u, x_most / 2) : 1;
  x_is_careful = true;
  if (x_before != 0) x_most = std::min(x_most, x_before);
  x_before = 0;
  x_next_trial = now + x_trial_pause;
  x_trial_pause = std::min(2 * x_trial_pause, kTrialPauseMost);
  begin_phase(now);
}

bool Senders::take_room() {
  return std::exchange(x_has_room, false);
}

}  // namespace tarn::sdk
