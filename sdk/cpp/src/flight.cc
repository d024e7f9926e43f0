#include "sdk/cpp/src/flight.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "common/base/check.h"
#include "common/ring/position.h"
#include "sdk/cpp/src/outcome.h"

namespace tarn::sdk {
namespace {

using std::chrono::milliseconds;

// While the first config or a connection is awaited; and while room is.
constexpr Nanos kPollPause = milliseconds(5);
constexpr Nanos kRoomPause = Micros(200);
// After it an operation that was cancelled takes its connection with it.
constexpr Nanos kCancelGrace = milliseconds(100);
constexpr Nanos kConnectMost = std::chrono::seconds(1);
constexpr Nanos kReconnectMost = milliseconds(200);
constexpr Nanos kRoundFirst = milliseconds(20);
constexpr Nanos kRoundMost = milliseconds(160);

}  // namespace

Flight::Flight(Options options) : x_options(std::move(options)) {
  TARN_CHECK((kind() == Kind::exists) == (x_options.asked != nullptr));
  if (kind() != Kind::exists) return;
  x_key_order.resize(x_options.asked->keys.size());
  std::iota(x_key_order.begin(), x_key_order.end(), 0);
}

void Flight::refuse(const Status& why) {
  TARN_CHECK(!x_has_begun && !why.is_ok());
  for (const FlightItem& item : x_items) {
    outcome_of(item).outcome = tarn::sdk::outcome_of(why.code());
    outcome_of(item).message = why.message();
    answer_keys(item, why.code());
  }
  end();
}

// The thread that locates may keep the flight for a while yet, and must not keep buffers or pins.
void Flight::end() {
  x_memory.clear();
  for (FlightItem& item : x_items)
    item.pin.reset();
  state().end();
}

bool Flight::turn(FlightDeck& deck) {
  x_is_stirred = false;
  x_wake_at = state().deadline();
  if (!x_has_begun) begin(deck);
  if (state().is_cancelled()) {
    stop(Code::cancelled, deck);
  } else if (deck.now >= state().deadline()) {
    stop(Code::deadline_exceeded, deck);
  }
  if (x_stop_code != Code::ok) {
    x_wake_at = kNever;
  } else if (!x_awaits_places.load(std::memory_order_acquire)) {
    dispatch(deck);
    if (x_in_flight > 0) hedge(deck);
  }
  if (x_unsettled > 0 || x_in_flight > 0) return false;
  end();
  return true;
}

void Flight::begin(FlightDeck& deck) {
  x_has_begun = true;
  x_deck = &deck;
  x_unsettled = x_items.size();
  x_ready.reserve(x_items.size());
  for (uint32_t i = 0; i < x_items.size(); ++i)
    x_ready.push_back(i);
}

// Whatever is not in flight ends now; the rest ends by itself, soon.
void Flight::stop(Code code, FlightDeck& deck) {
  if (x_stop_code != Code::ok) return;
  x_stop_code = code;
  x_ready.insert(x_ready.end(), x_in_line.begin(), x_in_line.end());
  x_in_line.clear();
  for (const uint32_t index : std::exchange(x_ready, {})) {
    const bool has_failed = code == Code::deadline_exceeded && x_items[index].last_code != Code::ok;
    settle(index, has_failed ? x_items[index].last_code : code);
  }
  if (code != Code::cancelled) return;
  for (Attempt& attempt : x_attempts) {
    if (!attempt.is_in_flight) continue;
    const auto hasten = [&](auto& op) {
      if constexpr (!std::is_same_v<std::decay_t<decltype(op)>, std::monostate>) {
        attempt.lane->link->hasten(op, deck.now + kCancelGrace);
      }
    };
    std::visit(hasten, attempt.op);
  }
}

void Flight::dispatch(FlightDeck& deck) {
  TARN_CHECK(x_open.empty() && x_turning.empty());
  x_way.anchor = {};
  // What lands of a layer-wise get makes it turn again.
  if (x_layers != nullptr && !x_layers->has_room()) return stay_in_line(deck);
  take_turning(deck);
  // Items that are tried again, too, go in the order of their layers.
  if (x_layers != nullptr && !std::is_sorted(x_turning.begin(), x_turning.end()))
    std::sort(x_turning.begin(), x_turning.end());
  for (size_t i = 0; i < x_turning.size(); ++i) {
    if (!has_room(x_items[x_turning[i]], deck)) {
      // Nor for those behind it: they are not even looked at.
      x_ready.insert(x_ready.end(), x_turning.begin() + static_cast<std::ptrdiff_t>(i),
                     x_turning.end());
      wake_by(deck.now + kRoomPause);
      break;
    }
    place_ready(x_turning[i], deck);
  }
  x_turning.clear();
  for (Attempt* const attempt : std::exchange(x_open, {}))
    launch(*attempt, deck);
  stay_in_line(deck);
}

// Those in line come first, and only when they may have got further.
void Flight::take_turning(FlightDeck& deck) {
  const bool asks =
      !x_in_line.empty() && (x_rooms_seen != deck.senders.rooms() || deck.now >= x_ask_again_at);
  if (asks) {
    x_turning.swap(x_in_line);
    x_turned_away.clear();
  }
  x_turning.insert(x_turning.end(), x_ready.begin(), x_ready.end());
  x_ready.clear();
  x_rooms_seen = deck.senders.rooms();
}

void Flight::stay_in_line(FlightDeck& deck) {
  if (x_in_line.empty()) return;
  for (const ServerId server : x_turned_away)
    deck.senders.stay(server, deck.now);
  // Turns for what has landed meanwhile do not put it off.
  if (x_ask_again_at <= deck.now) x_ask_again_at = deck.now + Senders::kPatience / 2;
  wake_by(x_ask_again_at);
}

void Flight::place_ready(uint32_t index, FlightDeck& deck) {
  FlightItem& item = x_items[index];
  TARN_DCHECK(item.state == State::ready);
  if (x_layers != nullptr && x_layers->failure(item.index) != Code::ok)
    return settle(index, x_layers->failure(item.index));
  if (item.is_piece && x_layers->is_whole(item.index)) return settle(index, Code::ok);
  if (item.not_before > deck.now) return again(index, item.not_before);
  if (deck.view == nullptr) {
    deck.wants_refresh = true;
    return again(index, deck.now + kPollPause);
  }
  if (kind() == Kind::put) return choose_writer(item, index, deck);
  choose_reader(item, index, deck);
}

bool Flight::has_room(const FlightItem& item, const FlightDeck& deck) const {
  if (x_layers != nullptr && x_layers->is_full()) return false;
  return deck.bytes_in_flight == 0 || deck.bytes_in_flight + item.bytes <= deck.bytes_in_flight_max;
}

const Flight::Way& Flight::way_to(const block::BlockHash& anchor, const FlightDeck& deck) {
  TARN_DCHECK(!anchor.is_empty());
  if (x_way.anchor == anchor) return x_way;
  x_way.anchor = anchor;
  x_way.position = ring::position_of(space().tenant, space().id, anchor);
  x_way.owners = kind() == Kind::put
                     ? deck.view->ring.owners(x_way.position, 1)
                     : deck.view->ring.owners_for_read(x_way.position, kReadOwnersMax);
  return x_way;
}

// Puts go to the primary alone, and wait for it, or for the config that names another.
void Flight::choose_writer(FlightItem& item, uint32_t index, FlightDeck& deck) {
  const ring::OwnerList& owners = way_to(item.place.anchor, deck).owners;
  Peer* const peer = owners.empty() ? nullptr : deck.peers->find(owners.front());
  if (peer != nullptr && deck.peers->readiness(*peer, deck.now) == PeerTable::Readiness::up) {
    return join_attempt(*peer, index, deck);
  }
  item.last_code = Code::unavailable;
  deck.wants_refresh |= peer == nullptr || peer->was_lost;
  again(index, deck.now + kPollPause);
}

void Flight::choose_reader(FlightItem& item, uint32_t index, FlightDeck& deck) {
  ring::OwnerList owners;
  if (item.only.value != 0) {
    owners.push_back(item.only);
  } else {
    owners = way_to(item.place.anchor, deck).owners;
  }
  if (owners.empty()) {
    item.skipped = true;
    item.last_code = Code::unavailable;
  }
  while (item.owner_index < owners.size()) {
    if (try_reader(owners[item.owner_index], item, index, deck)) return;
    item.skipped = true;
    item.last_code = Code::unavailable;
    item.waits_until = {};
    ++item.owner_index;
  }
  end_round(item, index, deck);
}

// True when the item is on its way there, or waits for a first connection.
bool Flight::try_reader(ServerId server, FlightItem& item, uint32_t index, FlightDeck& deck) {
  Peer* const peer = deck.peers->find(server);
  if (peer == nullptr) return false;
  const PeerTable::Readiness readiness = deck.peers->readiness(*peer, deck.now);
  if (readiness == PeerTable::Readiness::up) {
    if (!suits(*peer, item)) return false;
    if (is_its_turn(*peer, item, deck)) {
      join_attempt(*peer, index, deck);
    } else {
      x_in_line.push_back(index);
    }
    return true;
  }
  if (readiness == PeerTable::Readiness::down) return false;
  if (item.waits_until == Instant{}) {
    const Nanos half = (state().deadline() - deck.now) / 2;
    item.waits_until = deck.now + std::min(half, peer->was_lost ? kReconnectMost : kConnectMost);
  }
  if (deck.now >= item.waits_until) return false;
  again(index, deck.now + kPollPause);
  return true;
}

// Over a network servers send in turns; `local` has none between.
bool Flight::is_its_turn(const Peer& peer, FlightItem& item, FlightDeck& deck) {
  if (kind() != Kind::get || peer.wireup.fabric == fabric::Kind::local) return true;
  const ServerId server = peer.member.id;
  const bool is_known =
      std::find(x_turned_away.begin(), x_turned_away.end(), server) != x_turned_away.end();
  if (is_known) return false;
  if (!deck.senders.ask(server, item.bytes, deck.now)) {
    x_turned_away.push_back(server);
    return false;
  }
  item.sender = server;
  item.ending = Senders::Ending::unheard;
  return true;
}

// All owners have been asked, or could not be.
void Flight::end_round(FlightItem& item, uint32_t index, FlightDeck& deck) {
  const Code missed = item.is_corrupt ? Code::corrupt : Code::not_found;
  if (!item.skipped) {
    // What was known of its place leads nowhere: the next get asks a router.
    if (kind() == Kind::get) space().chains.forget(item.hash);
    return settle(index, missed);
  }
  if (item.patient_until == Instant{}) {
    item.patient_until = deck.now + std::min((state().deadline() - deck.now) / 2, kReadPatience);
  }
  if (kind() == Kind::get && deck.now >= item.patient_until) {
    return settle(index, item.is_corrupt || item.has_missed ? missed : item.last_code);
  }
  const Nanos pause = std::min(kRoundFirst * (1 << std::min<int>(item.round, 3)), kRoundMost);
  item.round = static_cast<uint8_t>(std::min(item.round + 1, 100));
  item.owner_index = 0;
  item.skipped = false;
  deck.wants_refresh = true;
  again(index, deck.now + pause);
}

void Flight::join_attempt(Peer& peer, uint32_t index, FlightDeck& deck) {
  FlightItem& item = x_items[index];
  Lane& lane = deck.peers->lane_for(peer, way_to(item.place.anchor, deck).position);
  Attempt& attempt = attempt_for(lane, peer, item, false);
  attempt.pieces = item.is_piece;
  attempt.items.push_back(index);
  attempt.key_count += item.keys.count;
  item.state = State::in_flight;
  if (kind() == Kind::get) {
    TARN_CHECK(item.asks == 0);
    item.asks = 1;
    item.is_taken = false;
    item.second_index = 0;
  }
  item.waits_until = {};
  deck.bytes_in_flight += item.bytes;
  if (item.is_piece) x_layers->begin_piece(item.index, item.bytes);
}

Flight::Attempt& Flight::attempt_for(Lane& lane, const Peer& peer, const FlightItem& item,
                                     bool is_second) {
  const auto open = std::find_if(x_open.begin(), x_open.end(), [&](const Attempt* attempt) {
    return attempt->lane == &lane && attempt->pieces == item.is_piece &&
           attempt->is_second == is_second && attempt->items.size() < fabric::kOpItemsMax &&
           attempt->key_count + item.keys.count <= fabric::kOpItemsMax;
  });
  if (kind() != Kind::put && open != x_open.end()) return **open;
  Attempt& attempt = new_attempt(lane, peer);
  attempt.is_second = is_second;
  return attempt;
}

Flight::Attempt& Flight::new_attempt(Lane& lane, const Peer& peer) {
  if (x_free.empty()) x_free.push_back(&x_attempts.emplace_back());
  Attempt& attempt = *x_free.back();
  x_free.pop_back();
  TARN_CHECK(!attempt.is_in_flight);
  attempt.flight = this;
  attempt.lane = &lane;
  attempt.server = peer.member.name;
  attempt.items.clear();
  attempt.key_count = 0;
  attempt.is_second = attempt.has_second = attempt.is_let_go = attempt.is_heard = false;
  x_open.push_back(&attempt);
  return attempt;
}

void Flight::launch(Attempt& attempt, FlightDeck& deck) {
  fabric::PingOp head;  // what every operation has, whatever its kind
  head.head.epoch = deck.view->config.epoch;
  head.head.space = space().id;
  head.deadline = state().deadline();
  const Nanos half = (state().deadline() - deck.now) / 2;
  Lane& lane = *attempt.lane;
  lane.silence = std::clamp(half, kSilenceLeast, lane.silence);
  Status sent;
  switch (kind()) {
    case Kind::get:
      sent = submit_get(attempt, head);
      break;
    case Kind::put:
      sent = submit_put(attempt, head);
      break;
    case Kind::exists:
      sent = submit_exists(attempt, head);
      break;
  }
  if (!sent.is_ok()) return on_refused(attempt, sent, deck);
  attempt.heard = deck.now;
  if (!attempt.is_second && may_be_hedged()) deck.hedges->on_asked(attempt.items.size());
  attempt.is_in_flight = true;
  ++x_in_flight;
}

// The link has not taken it, so nothing was sent.
void Flight::on_refused(Attempt& attempt, const Status& why, FlightDeck& deck) {
  x_free.push_back(&attempt);
  for (const uint32_t index : attempt.items) {
    if (kind() == Kind::get && --x_items[index].asks > 0) {
      x_items[index].second_index = 0;
      continue;
    }
    if (why.code() == Code::overloaded || why.code() == Code::unavailable) {
      x_items[index].last_code = why.code();
      again(index, deck.now + kPollPause);
    } else {
      settle(index, why.code(), why.message());
    }
  }
}

void Flight::on_end(Attempt& attempt, fabric::LinkOp& op) {
  TARN_CHECK(attempt.is_in_flight && x_in_flight > 0);
  attempt.is_in_flight = false;
  --x_in_flight;
  const Epoch ours = x_deck->view == nullptr ? Epoch{0} : x_deck->view->config.epoch;
  x_deck->wants_refresh |= op.server_epoch > ours || op.code == Code::stale_epoch;
  if (op.code == Code::unauthenticated) {
    if (Peer* const peer = x_deck->peers->find(attempt.lane->server)) {
      peer->wants_ticket = true;
      peer->reset = unauthenticated(attempt.server + " does not take the ticket any more");
    }
  }
  if (kind() == Kind::get) tell_corrupt(attempt);
  if (kind() == Kind::put) on_put_end(attempt, static_cast<const fabric::PutOp&>(op));
  if (kind() == Kind::exists) on_exists_end(attempt, static_cast<const fabric::KeysOp&>(op));
  x_free.push_back(&attempt);
  stir();
}

// Back among those that wait to be dispatched.
void Flight::again(uint32_t index, Instant not_before) {
  FlightItem& item = x_items[index];
  TARN_DCHECK(item.state != State::settled);
  leave_flight(item);
  item.state = State::ready;
  item.not_before = not_before;
  x_ready.push_back(index);
  wake_by(not_before);
}

void Flight::leave_flight(FlightItem& item) {
  if (item.state != State::in_flight) return;
  TARN_CHECK(x_deck->bytes_in_flight >= item.bytes);
  x_deck->bytes_in_flight -= item.bytes;
  if (item.sender.value != 0) {
    const ServerId sender = std::exchange(item.sender, {});
    x_deck->senders.on_end(sender, item.bytes, item.ending, x_deck->now);
  }
  if (item.is_piece) x_layers->end_piece(item.index, item.bytes);
}

void Flight::settle(uint32_t index, Code code, std::string message) {
  FlightItem& item = x_items[index];
  TARN_CHECK(item.state != State::settled && x_unsettled > 0);
  leave_flight(item);
  item.state = State::settled;
  --x_unsettled;
  if (x_layers != nullptr && !settle_piece(item, code)) return;
  answer_keys(item, code);
  if (message.empty() && code == Code::unavailable) {
    message = "no owner of the block could be reached";
  }
  BlockOutcome& outcome = outcome_of(item);
  // Of keys that shared an item and end differently, one with words speaks for it.
  if (kind() == Kind::exists && message.empty() && !outcome.message.empty()) return;
  outcome.outcome = tarn::sdk::outcome_of(code);
  outcome.message = std::move(message);
}

}  // namespace tarn::sdk
