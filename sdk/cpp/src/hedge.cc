// A second server is asked for blocks of a get that the first is late with.
#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/ring/position.h"
#include "sdk/cpp/src/flight.h"

namespace tarn::sdk {

// Layer-wise gets and views are not: what has landed of them may be in use.
bool Flight::may_be_hedged() const {
  return kind() == Kind::get && x_layers == nullptr && x_items.front().pin == nullptr;
}

void Flight::hedge(FlightDeck& deck) {
  if (!deck.hedges->is_on() || deck.view == nullptr || !may_be_hedged()) return;
  TARN_CHECK(x_late.empty() && x_open.empty());
  for (Attempt& attempt : x_attempts) {
    const bool is_alone = attempt.is_in_flight && !attempt.is_second && !attempt.has_second;
    if (is_alone && is_late(attempt, deck)) x_late.push_back(&attempt);
  }
  for (Attempt* const late : std::exchange(x_late, {}))
    ask_second(*late, deck);
  for (Attempt* const attempt : std::exchange(x_open, {}))
    launch(*attempt, deck);
}

bool Flight::is_late(const Attempt& attempt, const FlightDeck& deck) {
  // Before its blocks are looked at: mostly it is not, and a flight turns at every answer.
  Instant due = attempt.heard + kHedgeLeast;
  if (deck.now >= due) {
    const auto waits = std::find_if(attempt.items.begin(), attempt.items.end(),
                                    [](uint32_t index) { return index != kAnswered; });
    if (waits == attempt.items.end()) return false;
    const Nanos patience = deck.hedges->patience({x_items[*waits].bytes, !attempt.is_heard});
    if (patience == Nanos::max()) return false;
    due = attempt.heard + patience;
  }
  if (deck.now >= due) return true;
  wake_by(due);
  return false;
}

// What nobody else can be asked for is left to the first server; a connection under way, and a
// bucket that is empty, are looked at again soon.
void Flight::ask_second(Attempt& late, FlightDeck& deck) {
  late.has_second = true;
  for (const uint32_t index : late.items) {
    if (index == kAnswered) continue;
    FlightItem& item = x_items[index];
    if (item.state != State::in_flight || item.asks != 1 || item.is_taken) continue;
    if (item.second_index > 0) continue;
    Peer* const peer = second_owner(item, late.lane->server, deck);
    if (peer == nullptr) continue;
    const PeerTable::Readiness readiness = deck.peers->readiness(*peer, deck.now);
    if (readiness == PeerTable::Readiness::wait) {
      late.has_second = false;
      wake_by(deck.now + kHedgeLeast);
    }
    if (readiness != PeerTable::Readiness::up) continue;
    if (!deck.hedges->take()) {
      late.has_second = false;
      return wake_by(deck.now + kHedgeLeast);
    }
    Lane& lane = deck.peers->lane_for(*peer, way_to(item.place.anchor, deck).position);
    attempt_for(lane, *peer, item, true).items.push_back(index);
    item.second_index = static_cast<uint8_t>(item.owner_index + 1);
    ++item.asks;
  }
}

// The next owner after the one that is asked now; null where there is none.
Peer* Flight::second_owner(const FlightItem& item, ServerId first, FlightDeck& deck) {
  TARN_CHECK(item.only.value == 0 && !item.is_piece);
  const ring::OwnerList& owners = way_to(item.place.anchor, deck).owners;
  const uint32_t next = uint32_t{item.owner_index} + 1;
  // A config that came meanwhile may have put them in another order.
  if (next >= owners.size() || owners[next] == first) return nullptr;
  return deck.peers->find(owners[next]);
}

void Flight::note_answer(Attempt& attempt, const FlightItem& item, Code code) {
  const Nanos silence = x_deck->now - attempt.heard;
  const bool is_first = !std::exchange(attempt.is_heard, true);
  attempt.heard = x_deck->now;
  const bool is_plain = !item.is_piece && item.pin == nullptr;
  // Answers that come in one turn say nothing of how long one takes.
  if (code != Code::ok || !is_plain || silence <= Nanos(0)) return;
  x_deck->hedges->on_answer({item.bytes, is_first}, silence);
}

// Whether the answer changes nothing: the block has come from another server, or may yet.
bool Flight::is_left_to_other(FlightItem& item, const fabric::GetTarget& got) {
  TARN_CHECK(item.asks > 0);
  --item.asks;
  if (item.state == State::settled) return true;
  if (got.code == Code::ok) return false;
  if (got.took) item.is_taken = false;
  if (item.asks == 0) return false;
  if (got.code == Code::cancelled) {
    // It has the block, and did not get to give it: where the other fails it is asked once more.
    item.skipped = true;
  } else if (!note_failure(item, got.code)) {
    item.verdict = got.code;
    if (got.code == Code::invalid_argument) outcome_of(item).bytes = got.bytes;
  }
  return true;
}

bool Flight::awaits_none(const Attempt& attempt) const {
  return std::none_of(attempt.items.begin(), attempt.items.end(), [this](uint32_t index) {
    return index != kAnswered && x_items[index].state != State::settled;
  });
}

// Ends an operation whose answers are all in, or have come from elsewhere: the flight waits for it.
void Flight::let_go(Attempt& attempt) {
  if (!attempt.is_in_flight || attempt.is_let_go || !awaits_none(attempt)) return;
  attempt.is_let_go = true;
  const auto is_owed = [](uint32_t index) { return index != kAnswered; };
  if (std::none_of(attempt.items.begin(), attempt.items.end(), is_owed)) return;
  attempt.lane->link->hasten(std::get<fabric::GetOp>(attempt.op), x_deck->now);
}

void Flight::let_others_go(uint32_t index) {
  for (Attempt& attempt : x_attempts) {
    const auto& items = attempt.items;
    if (std::find(items.begin(), items.end(), index) != items.end()) let_go(attempt);
  }
}

}  // namespace tarn::sdk
