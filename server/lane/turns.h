#pragma once

#include <array>
#include <cstdint>
#include <map>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/units.h"
#include "server/lane/line.h"
#include "server/lane/turn_ring.h"

namespace tarn::lane {

struct Peer;

// Who hands the next block to the fabric, of the connections that ask to: by rank first, then by
// tenant, then by connection, the latter two by deficit round robin. What is handed over and has
// not ended is bounded, so that a newcomer waits for little: a tenant has no more of it than is
// free of kWindowBytes (of several connections of a tenant, less so that the others find room), and
// always one block; ranks that others come before have kBehindBytes. What a
// connection has taken nothing of for kStalledAfter counts no more, and it gets nothing until it
// does. One-thread (the lane's). No step allocates but join() and leave(). Outlives its flows.
class Turns {
 public:
  enum class Rank : uint8_t { get, background };  // the first goes first
  static constexpr size_t kRanks = 2;
  static constexpr uint64_t kWindowBytes = 40 * kMiB;
  // Of it, for a rank while a better one asks.
  static constexpr uint64_t kBehindBytes = kWindowBytes / 8;
  static constexpr Nanos kStalledAfter = std::chrono::milliseconds(20);
  // Of its bytes at least one in so many is for each rank that asks.
  static constexpr uint64_t kFloor = 16;

 private:
  struct Tenant;
  struct UnderwayTag;

 public:
  // One connection. Leaves with its end.
  class Flow : public TurnTaker, public InLine<UnderwayTag> {
   public:
    explicit Flow(Peer* of = nullptr) : peer(of) {}
    ~Flow();

    Peer* peer;
    uint64_t bytes() const { return x_bytes; }
    bool is_stalled() const { return x_is_stalled; }
    Rank rank() const { return x_rank; }

   private:
    friend class Turns;
    Turns* x_turns = nullptr;
    Tenant* x_tenant = nullptr;
    Rank x_rank = Rank::get;
    bool x_asks = false;
    bool x_is_stalled = false;
    uint64_t x_bytes = 0;  // on their way
    Instant x_moved;
  };

  Turns();
  ~Turns();
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  void join(Flow& flow, Rank rank, const TenantId& tenant);
  void leave(Flow& flow);

  // It has something to send, or not any more. Idempotent; no effect on one that has not joined.
  void ask(Flow& flow);
  void rest(Flow& flow);

  // Whose turn it is; null: of those that ask nobody may send now.
  Flow* next();

  // A block has been handed to the fabric; its send has ended.
  void begin(Flow& flow, uint64_t bytes);
  void end(Flow& flow, uint64_t bytes);

  // Gives what stalled ones have to others; returns how many have stalled since.
  size_t tick(Instant now);

  // Of the latest tick.
  Instant now() const { return x_now; }

  // What counts of what is on its way.
  uint64_t bytes() const { return x_bytes; }
  size_t tenants() const;

 private:
  struct Tenant : TurnTaker {
    TenantId id;
    size_t flows = 0;
    uint64_t bytes = 0;  // on their way, that count
    TurnRing<Flow> asking;
  };
  struct Class {
    std::map<TenantId, Tenant> tenants;
    TurnRing<Tenant> asking;
    uint64_t bytes = 0;  // on their way, that count
    int64_t owed = 0;    // bytes that are due to it whoever else asks
  };

  const Class& class_of(const Flow& flow) const {
    return x_classes[static_cast<size_t>(flow.x_rank)];
  }
  Class& class_of(const Flow& flow) { return x_classes[static_cast<size_t>(flow.x_rank)]; }
  void line_up(Flow& flow);
  void withdraw(Flow& flow);
  Flow* pick(Class& of);
  // For a connection of the tenant that leaves so many bytes to its others.
  bool has_room(const Tenant& tenant, uint64_t left) const;
  bool do_betters_ask(Rank rank) const;
  void charge_classes(const Flow& flow, uint64_t bytes);
  void count(Flow& flow, uint64_t bytes);
  void uncount(Flow& flow);

  std::array<Class, kRanks> x_classes;
  Line<Flow, UnderwayTag> x_underway;  // the one that moved least lately first
  uint64_t x_bytes = 0;
  Instant x_now;
};

}  // namespace tarn::lane
