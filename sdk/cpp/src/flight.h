#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "common/base/clock.h"
#include "common/block/space.h"
#include "common/fabric/link_op.h"
#include "common/ring/extent.h"
#include "common/ring/ring.h"
#include "sdk/cpp/src/chain_cache.h"
#include "sdk/cpp/src/cluster_view.h"
#include "sdk/cpp/src/hedges.h"
#include "sdk/cpp/src/layer_book.h"
#include "sdk/cpp/src/peer_table.h"
#include "sdk/cpp/src/senders.h"
#include "sdk/cpp/src/transfer.h"

namespace tarn::sdk {

// Misses that wait to be told to a router; more are not, and come again.
inline constexpr size_t kMissedMax = 256;
// Owners that a get asks, best first.
inline constexpr uint32_t kReadOwnersMax = 3;
// While an owner cannot be asked, nobody knows that a block is missing: so long a get goes round
// the owners, or for half of its time when that is less. By then a new config leaves out who is
// dead.
inline constexpr Nanos kReadPatience = std::chrono::milliseconds(1500);

// The space that a flight is about, shared with the handles of the public API. Immutable, but for
// the cache, which is thread-safe.
struct SpaceState {
  explicit SpaceState(block::SpaceSpec s) : spec(std::move(s)), chains(spec) {}

  const block::SpaceSpec spec;
  SpaceId id;
  TenantId tenant;
  ChainCache chains;
};

// What one exists asks, and for each key the answer: the flight's from its beginning, its caller's
// again once the transfer has ended. The items share the keys out among them, each to one; outcomes
// of the transfer are the items'.
struct KeyBatch {
  explicit KeyBatch(std::vector<wire::BlockItem> k)
      : keys(std::move(k)), answers(keys.size(), Outcome::internal) {}

  const std::vector<wire::BlockItem> keys;
  std::vector<Outcome> answers;
};

// One block of a batch, or of exists keys of one place, and how far it has come.
struct FlightItem {
  enum class State : uint8_t { ready, in_flight, settled };

  // Set before the flight begins, the place before Flight::on_placed().
  block::BlockHash hash;
  block::BlockHash parent;
  Shard shard;
  ring::BlockPlace place;
  bool is_placed = true;  // false: the anchor is a guess
  ServerId only;          // ask this server alone; 0: the owners
  uint32_t index = 0;     // of the outcome
  uint64_t bytes = 0;     // of the payload, or of the memory for it
  uint32_t payload_crc = 0;
  bool is_summed = true;                   // put: has its checksum, or leaves it to the server
  std::vector<fabric::Bytes> from;         // put
  std::vector<fabric::MutableBytes> into;  // get
  // Exists: so many of the flight's keys, in place of `hash` and `shard`.
  struct Keys {
    uint32_t first = 0;
    uint32_t count = 0;
  } keys;
  bool is_piece = false;  // of a layer-wise get: the bytes of one layer
  uint16_t layer = 0;
  std::shared_ptr<ViewPin> pin;  // get_views, instead of `into`

  // The io thread's.
  State state = State::ready;
  uint8_t owner_index = 0;
  uint8_t second_index = 0;  // of the owner that is asked as well, or has failed; 0: none
  uint8_t asks = 0;          // of gets: operations that ask for it now
  bool is_taken = false;     // `into` is being filled, or has been
  Code verdict = Code::ok;   // one of two servers has said that no other owner could say otherwise
  ServerId sender;           // whose turn it takes part in; 0: none
  Senders::Ending ending{};  // of that
  uint8_t round = 0;
  bool has_missed = false;    // an owner answered that it has no such block
  bool is_corrupt = false;    // an owner's bytes failed their checksum
  bool skipped = false;       // an owner could not be asked in this round
  uint32_t failures = 0;      // of puts, in a row
  Instant not_before{};       // when ready
  Instant waits_until{};      // for a first connection; zero: not waiting
  Instant patient_until{};    // with owners that cannot be asked; zero: no round has ended
  Code last_code = Code::ok;  // of its last failure

  // Takes the checksum of `from`.
  void sum();
};

// "server answered that it has no such block", of a block whose place was known.
struct MissedAt {
  SpaceId space;
  ServerId server;
  block::BlockHash hash;
};

// What the io thread lends to the flights. One-thread (the io loop's).
struct FlightDeck {
  PeerTable* peers = nullptr;
  std::shared_ptr<const View> view;  // null before the first config
  Instant now;
  uint64_t bytes_in_flight = 0;
  uint64_t bytes_in_flight_max = 0;
  bool wants_refresh = false;  // of the config
  Hedges* hedges = nullptr;
  Senders senders;
  std::vector<MissedAt> missed;  // since the routers were last told
};

// One batch on its way: chooses the server of each block, asks, and asks again elsewhere or later,
// until each block has its outcome or the deadline has passed. Built by its caller's thread; from
// IoLoop::submit on it is one-thread (the io loop's), but for the places of its items while it
// awaits them: those are the thread's that locates them, which may outlast it. Ends once no memory
// of it is in use.
//   put.cc, get.cc, exists.cc, layers.cc: what an answer means; hedge.cc: a second server for a
//   late block; flight.cc: everything else.
class Flight {
 public:
  enum class Kind : uint8_t { put, get, exists };
  struct Options {
    Kind kind = Kind::get;
    std::shared_ptr<SpaceState> space;
    std::shared_ptr<TransferState> state;
    std::shared_ptr<KeyBatch> asked;  // exists
    uint8_t copies = 1;
    bool on_flash = false;
    bool allow_less = false;
  };

  explicit Flight(Options options);
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;

  // Before the flight begins.
  std::vector<FlightItem>& items() { return x_items; }
  TransferState& state() { return *x_options.state; }
  const std::shared_ptr<TransferState>& shared_state() const { return x_options.state; }
  SpaceState& space() { return *x_options.space; }
  Kind kind() const { return x_options.kind; }
  // Buffers in use: they live until the flight has ended.
  void hold(std::vector<std::shared_ptr<const void>> memory) { x_memory = std::move(memory); }
  // Makes it a layer-wise get of a call with so many blocks: each item is cut into one piece a
  // layer, layer by layer.
  void cut_into_layers(std::vector<uint32_t> ends, size_t blocks_of_call);
  // The first so many items are the blocks, each once.
  size_t block_count() const;
  // Nothing is asked for before on_placed().
  void await_places() { x_awaits_places.store(true, std::memory_order_relaxed); }
  // Ends it without having begun.
  void refuse(const Status& why);

  // By the thread that has set all places; the io thread must be woken after it. Thread-safe.
  void on_placed() { x_awaits_places.store(false, std::memory_order_release); }

  // Does what can be done now; true when it has ended.
  bool turn(FlightDeck& deck);
  // Has it something to do before wake_at()?
  bool is_due(Instant now) const { return x_is_stirred || x_wake_at <= now; }
  void stir() { x_is_stirred = true; }
  Instant wake_at() const { return x_wake_at; }

 private:
  using State = FlightItem::State;

  static constexpr uint32_t kAnswered = UINT32_MAX;

  // One operation on one link.
  struct Attempt {
    Flight* flight = nullptr;
    Lane* lane = nullptr;
    std::string server;
    uint64_t bytes = 0;
    std::vector<uint32_t> items;  // of gets: kAnswered in place of those that have their answer
    std::vector<fabric::GetTarget> targets;
    size_t key_count = 0;  // of exists, of all items
    std::vector<wire::BlockItem> keys;
    std::vector<Code> codes;
    std::variant<std::monostate, fabric::GetOp, fabric::PutOp, fabric::KeysOp> op;
    bool pieces = false;
    bool is_in_flight = false;
    bool is_second = false;   // its blocks have been asked for elsewhere
    bool has_second = false;  // they are asked for elsewhere, too, as far as they may be
    bool is_let_go = false;   // none of its blocks is awaited any more
    bool is_heard = false;    // the server has answered to some of it
    Instant heard;            // when it last did, or was asked
  };

  // Where an extent's blocks go: those of a batch mostly share it with the one before.
  struct Way {
    block::BlockHash anchor;  // empty: nothing is known yet under this turn's view
    Position position;
    ring::OwnerList owners;
  };

  void begin(FlightDeck& deck);
  void end();
  const Way& way_to(const block::BlockHash& anchor, const FlightDeck& deck);
  void dispatch(FlightDeck& deck);
  void stop(Code code, FlightDeck& deck);
  void place_ready(uint32_t index, FlightDeck& deck);
  void choose_writer(FlightItem& item, uint32_t index, FlightDeck& deck);
  void choose_reader(FlightItem& item, uint32_t index, FlightDeck& deck);
  bool is_its_turn(const Peer& peer, FlightItem& item, FlightDeck& deck);
  void take_turning(FlightDeck& deck);
  void stay_in_line(FlightDeck& deck);
  bool try_reader(ServerId server, FlightItem& item, uint32_t index, FlightDeck& deck);
  void end_round(FlightItem& item, uint32_t index, FlightDeck& deck);
  bool has_room(const FlightItem& item, const FlightDeck& deck) const;
  void join_attempt(Peer& peer, uint32_t index, FlightDeck& deck);
  Attempt& attempt_for(Lane& lane, const Peer& peer, const FlightItem& item, bool is_second);
  Attempt& new_attempt(Lane& lane, const Peer& peer);
  void hedge(FlightDeck& deck);
  bool may_be_hedged() const;
  bool is_late(const Attempt& attempt, const FlightDeck& deck);
  void ask_second(Attempt& late, FlightDeck& deck);
  Peer* second_owner(const FlightItem& item, ServerId first, FlightDeck& deck);
  void note_answer(Attempt& attempt, const FlightItem& item, Code code);
  bool is_left_to_other(FlightItem& item, const fabric::GetTarget& got);
  bool awaits_none(const Attempt& attempt) const;
  void let_go(Attempt& attempt);
  void let_others_go(uint32_t index);
  void launch(Attempt& attempt, FlightDeck& deck);
  Status submit_get(Attempt& attempt, const fabric::LinkOp& head);
  Status submit_put(Attempt& attempt, const fabric::LinkOp& head);
  bool leaves_sum(const FlightItem& item, const Attempt& attempt) const;
  Status submit_exists(Attempt& attempt, const fabric::LinkOp& head);
  void on_refused(Attempt& attempt, const Status& why, FlightDeck& deck);
  void on_end(Attempt& attempt, fabric::LinkOp& op);

  void make_room(Attempt& attempt, size_t target);
  void on_get_item(Attempt& attempt, size_t target);
  void on_block(const Attempt& attempt, uint32_t index, fabric::GetTarget& got);
  void on_piece(uint32_t index, const fabric::GetTarget& got);
  bool suits(const Peer& peer, FlightItem& item);
  bool settle_piece(const FlightItem& item, Code code);
  void tell_corrupt(const Attempt& attempt) const;
  void on_exists_end(Attempt& attempt, const fabric::KeysOp& op);
  void on_answers(uint32_t index, std::span<const Code> codes);
  uint32_t split(uint32_t index, size_t key_count);
  std::span<uint32_t> keys_of(const FlightItem& item);
  void answer_keys(const FlightItem& item, Code code);
  void on_put_end(Attempt& attempt, const fabric::PutOp& op);
  void on_read_failure(uint32_t index, Code code);
  bool note_failure(FlightItem& item, Code code);
  void note_miss(const Attempt& attempt, const FlightItem& item);
  void re_anchor(const FlightItem& full, const ring::BlockPlace& asked);

  void again(uint32_t index, Instant not_before);
  void settle(uint32_t index, Code code, std::string message = {});
  void leave_flight(FlightItem& item);
  BlockOutcome& outcome_of(const FlightItem& item) { return state().outcome(item.index); }
  void wake_by(Instant at) { x_wake_at = std::min(x_wake_at, at); }

  const Options x_options;
  std::atomic<bool> x_awaits_places{false};
  std::vector<std::shared_ptr<const void>> x_memory;
  std::vector<FlightItem> x_items;
  // Of exists: numbers of all keys, so that those of an item stand together.
  std::vector<uint32_t> x_key_order;
  std::vector<uint32_t> x_ready;  // items to dispatch
  std::vector<uint32_t> x_turning;
  // Items that wait for their servers' turns, and those servers.
  std::vector<uint32_t> x_in_line;
  std::vector<ServerId> x_turned_away;
  uint64_t x_rooms_seen = 0;
  Instant x_ask_again_at{};
  std::deque<Attempt> x_attempts;
  std::vector<Attempt*> x_free;
  std::vector<Attempt*> x_open;         // being filled in this turn
  std::vector<Attempt*> x_late;         // being given a second one in this turn
  std::unique_ptr<LayerBook> x_layers;  // of a layer-wise get
  Way x_way;
  size_t x_unsettled = 0;
  size_t x_in_flight = 0;  // attempts
  FlightDeck* x_deck = nullptr;
  Instant x_wake_at{};
  bool x_is_stirred = true;
  bool x_has_begun = false;
  Code x_stop_code = Code::ok;  // why it was stopped
};

}  // namespace tarn::sdk
