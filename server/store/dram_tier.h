#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <absl/container/btree_set.h>
#include <absl/container/flat_hash_map.h>

#include "common/base/find_rows.h"
#include "common/base/ids.h"
#include "common/ring/extent.h"
#include "server/store/chain.h"
#include "server/store/descent.h"
#include "server/store/eviction_queue.h"
#include "server/store/lineage.h"
#include "server/store/slot_allocator.h"
#include "server/store/tier.h"

namespace tarn::store {

// One lane asks others to evict what continues a block of its own, which is to go next.
struct MakeWay {
  BlockPrint parent;
  LaneSet lanes = 0;  // that are asked
  uint32_t hops = 0;  // lanes that passed this on, since what is in their way lies elsewhere again
  // Whose put wants the room, and what it continues: to evict either would defeat the put, be it
  // done, under way or about to be tried again.
  BlockPrint put;
  BlockPrint put_parent;

  bool spares(BlockPrint print) const { return print == put || print == put_parent; }
};

// A block that dram lets go. Who moves the pin away keeps the bytes, and their memory, for as long.
struct Leaving {
  Pin pin;
  block::BlockHash parent;  // as of parent_of()
  bool was_read = false;
};

// What becomes of it.
enum class Fate : uint8_t {
  kept_below,  // it lies below, or is on its way there
  lost,
  waits,  // there is no way there now, but soon: it stays
};

struct DramTierOptions {
  SlotAllocatorOptions memory;
  uint64_t extents_max = 4'000'000;
  ChangeSink on_change;  // visible and removed blocks; not called while the tier is destroyed
  uint32_t lane = 0;
  Descent* descent =
      nullptr;  // of all lanes of the server; outlives the tier. Null: one of its own
  // Hands it to the lanes' queues; may lose it. Never calls a tier.
  std::function<void(const MakeWay&)> on_blocked;
  // A block is about to go to make room. None: it is lost.
  std::function<Fate(Leaving&)> on_evicted;
};

// Positions of a scan, both inclusive.
struct PositionRange {
  Position first;
  Position last;
};

// The dram of one lane: an index from key to slot, the extents that say which block goes first, and
// the memory under them. One-thread (the lane's). Life: construct, use, destroy when no pin and no
// slot of it is left. Invariants: a visible block's bytes never change; a slot's memory is used
// again only when nobody reads or fills it; no parent is evicted before its child, in whichever
// lane of the server that lies (docs/ARCHITECTURE.md).
class DramTier : public Tier {
 public:
  // Blocks that one put may push out one by one before it is answered overloaded.
  static constexpr uint32_t kEvictionsMax = 4096;
  // Slabs that are looked through in one search for room when nothing can go from the first ones.
  static constexpr size_t kSlabsMax = 8;
  // Slabs of another size that one put may clear because what lies there is older.
  static constexpr uint32_t kOlderSlabsMax = 4;
  // Extents held by other lanes that keep their turn, and ask, in one search for room.
  static constexpr size_t kHeldMax = 16;
  // Extents that wait for the tier below, and are passed over, in one search for room.
  static constexpr size_t kWaitingMax = 64;
  // Lanes that pass a request to make way on; behind that is a circle.
  static constexpr uint32_t kHopsMax = 4096;

  explicit DramTier(DramTierOptions options);
  ~DramTier() override;

  const block::BlockHeader* find(const block::BlockKey& key) const override;
  void find_all(std::span<const block::BlockKey> keys,
                std::span<const block::BlockHeader*> found) const override;
  using Tier::read;
  void read(const block::BlockKey& key, Instant deadline, ReadDone done) override;
  Result<Slot> reserve(const BlockPut& put) override;
  void publish(Slot slot) override;
  Status remove(const block::BlockKey& key) override;
  TierUsage usage() const override;

  // Pins the visible block whose payload lies at this address, also if it is read; nothing where
  // there is none.
  std::optional<Pin> pin_at(const std::byte* payload);

  // Another lane asks for it: evicts what continues the block here, and what hangs on that, as far
  // as nobody reads it; passes the request on where other lanes are in the way. Returns how many
  // blocks went.
  size_t make_way(const MakeWay& wanted);

  // Removes all visible blocks of the tenant, or of one space of it (zero: all); returns how many.
  // Blocks that are still on their way stay: whoever puts them is fenced by the epoch.
  uint64_t remove_all(const TenantId& tenant, const SpaceId& space);

  // Calls `visit` for the visible blocks of extents in the range by position, until about `limit`
  // blocks were shown. Returns where to go on, or nothing at the end of the range.
  std::optional<Position> scan(const PositionRange& range, size_t limit,
                               const std::function<void(const block::BlockHeader&)>& visit) const;

 private:
  friend class DramExchange;

  // Blocks of one domain and size compete for the same slots.
  struct QueueKey {
    DomainId domain;
    memory::SizeClass size_class = 0;
    friend auto operator<=>(const QueueKey&, const QueueKey&) = default;
  };
  struct OwnedExtent : Extent {
    EvictionQueue* in = nullptr;
    Position position;
  };
  using Queues = std::map<QueueKey, EvictionQueue>;
  using ExtentsByPosition = absl::btree_set<std::pair<Position, OwnedExtent*>>;

  // One search for room; it ends when a block went.
  struct Search {
    const BlockPut& put;
    uint64_t number = 0;
    size_t asks_left = kHeldMax;
  };

  const block::BlockHeader& header_of(const void* token) const override;
  void unpin(void* token) override;
  void abandon(void* token) override;
  void set_payload_crc(void* token, uint32_t crc32c) override;

  Status check_new(const BlockPut& put) const;
  Status take_seat(const BlockPut& put);
  Result<SlotRef> make_room(const BlockPut& put, StoredBlock* owner);
  bool evict_for(const BlockPut& put, uint32_t& older_slabs_left);
  bool evict_from(EvictionQueue& queue, Search& search);
  bool clear_a_slab(Search& search);
  struct Oldest {
    StoredBlock* block = nullptr;
    memory::SizeClass size_class = 0;  // of its queue
  };
  bool take_from_older(Queues::value_type& own, Search& search, uint32_t& slabs_left);
  std::optional<Oldest> oldest_but(const QueueKey& own, uint64_t age, Search& search);
  bool clear(SlabUse& slab, Search& search);
  bool evict_with_deeper(StoredBlock& block, Search& search);
  // False: it stays, for now.
  bool evict(StoredBlock& block, bool may_be_lost = true);
  bool evict_out_of_turn(EvictionQueue& queue);
  void ask_for_way(const Lineage::Turn& turn, MakeWay wanted);
  static MakeWay way_for(const BlockPut& put);

  StoredBlock& place(std::unique_ptr<StoredBlock> owned, const BlockPut& put);
  Pin pin_of(StoredBlock& block);
  static void write_header(StoredBlock& block);
  OwnedExtent& extent_for(const BlockPut& put);
  // Takes the block out of its extent, the index and the tables.
  void detach(StoredBlock& block, bool evicted);
  void drop_extent(Extent& extent, bool evicted);
  void retire(StoredBlock& block, bool evicted);
  void announce(const StoredBlock& block, bool removed);
  static EvictionQueue& queue_of(Extent& extent);

  DramTierOptions x_options;
  const std::unique_ptr<Descent> x_own_descent;
  Lineage x_lineage;
  SlotAllocator x_memory;
  absl::flat_hash_map<block::BlockKey, std::unique_ptr<StoredBlock>, RowHash<block::BlockKey>,
                      RowEqual<block::BlockKey>>
      x_blocks;
  absl::flat_hash_map<StoredBlock*, std::unique_ptr<StoredBlock>> x_removed;  // still pinned
  absl::flat_hash_map<StoredBlock*, std::unique_ptr<StoredBlock>> x_loose;
  ring::ExtentTable x_seats;
  absl::flat_hash_map<ring::ExtentKey, std::unique_ptr<OwnedExtent>, ring::ExtentKeyHash> x_extents;
  ExtentsByPosition x_by_position;
  Queues x_queues;
  uint64_t x_put_bytes = 0;  // the clock of ages
  uint64_t x_payload_bytes = 0;
  uint64_t x_visible_blocks = 0;
  uint64_t x_evicted_blocks = 0;
  uint64_t x_searches = 0;
  bool x_is_held_up = false;  // this search found what waits for the tier below
};

// The domain that a block's bytes are charged to.
DomainId domain_of(const block::BlockKey& key);

}  // namespace tarn::store
