#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "server/lane/desk.h"
#include "server/lane/pool.h"

namespace tarn::lane {

// Answers gets: block by block, or piece by piece of blocks, in the order asked, each pinned while
// its bytes are being sent. Which connection goes next is the desk's Turns'.
// One-thread (the lane's). Limits: kGetsMax requests at a time, kSendsPerGetMax blocks of one in
// flight, kSendsMax of all. Of requests and of blocks a connection has no more than an eighth of
// what is free, so that dozens of clients that stopped reading stall nobody else. What is left of
// the port's queue is for answers without payload. A request that its connection cannot take by its
// deadline, at the pace that it has shown, is refused at once.
class GetService {
 public:
  static constexpr size_t kFreePerTaken = 8;
  // A connection alone has all that it was granted.
  static constexpr size_t kGetsMax = (kFreePerTaken + 1) * 2 * kCreditsPromised;
  static constexpr size_t kSendsPerGetMax = 8;
  static constexpr size_t kSendsMax = 768;
  // Of pieces that get their checksum in one turn of the lane, and a piece more; and those of reads
  // that end in it.
  static constexpr uint64_t kSummedPerTurnMax = 8ull << 20;

  explicit GetService(Desk& desk) : x_desk(desk), x_turns(desk.peers.turns()), x_works(kGetsMax) {}
  ~GetService();

  // Takes the request, or refuses it. `tenant` is whose blocks are meant.
  void begin(Peer& peer, wire::Route route, const wire::GetRequest& request,
             const TenantId& tenant);

  // Nobody waits for the peer's request of this sequence any more: what of it has not been begun is
  // answered `cancelled`. No effect on one that is not there.
  void cancel(const Peer& peer, uint64_t sequence);

  // Goes on with what had to wait and ends what is past its deadline; returns what it did.
  size_t tick(Instant now);

  bool is_idle() const { return x_works.used() == 0; }

 private:
  struct Work;
  struct Sending {
    Work* work = nullptr;
    store::Pin pin;
    std::span<const std::byte> payload;  // of the pin's block
  };
  // The checksum of a piece, kept while the fabric does not take it. The same place in the same
  // generation holds the same bytes.
  struct Summed {
    std::span<const std::byte> piece;
    Generation generation;
    uint32_t crc = 0;
  };
  struct Work : WaitingGet {
    bool in_use = false;
    bool is_stepping = false;
    bool is_reading = false;
    bool has_begun = false;  // to be sent
    Peer* peer = nullptr;
    wire::Route route;
    wire::GetRequest request;
    TenantId tenant;
    Instant began;
    Instant deadline;
    uint16_t next = 0;        // item
    uint16_t miss_count = 0;  // items before `next` that share one answer not sent yet
    Code miss_code = Code::ok;
    uint32_t in_flight = 0;
    uint64_t owed = 0;  // bytes that the pace counts as to be sent
    Summed summed;
    std::array<Sending, kSendsPerGetMax> sends;
  };

  uint64_t bytes_of(const wire::GetRequest& request, const TenantId& tenant) const;
  void pump();
  void step(Peer& peer);
  // Of a connection that is closed.
  void drop_rest(Work& work);
  void settle(Work& work);
  void rest(Peer& peer);
  void wake(Peer& peer);
  size_t end_late(Work& work, Instant now);
  void on_read(Work& work, Result<store::Pin> pin);
  static bool fits(const wire::GetRequest& request, size_t item, uint64_t block_bytes);
  wire::GetReply reply_for(const Work& work, const Sending& sending) const;
  void sum_piece(Work& work, const Sending& sending);
  bool send(Work& work, store::Pin pin);
  static bool is_fair(uint32_t taken, size_t free) {
    return taken < (free + kFreePerTaken - 1) / kFreePerTaken;
  }
  void on_begun(Work& work);
  void on_sent(Sending& sending, Code code);
  void miss(Work& work, Code code);
  void flush_misses(Work& work);
  void give_up_rest(Work& work, Code code);
  void finish_if_done(Work& work);
  void read_ahead(const Work& work) const;
  static block::BlockKey key_of(const Work& work, size_t index);

  Desk& x_desk;
  Turns& x_turns;
  Pool<Work> x_works;
  bool x_is_pumping = false;
  uint64_t x_steps = 0;      // items that are done with, since the start
  size_t x_sends = 0;        // blocks in flight
  uint64_t x_summed = 0;     // bytes in this turn
  bool x_sums_wait = false;  // for the next one
};

}  // namespace tarn::lane
