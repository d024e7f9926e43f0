#include "server/store/dram_tier.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/ring/position.h"

namespace tarn::store {
namespace {

ring::ExtentKey extent_key(const block::BlockHeader& header) {
  return {header.key.tenant, header.key.space, header.anchor};
}

ring::ExtentSeat seat_of(const BlockPut& put) {
  return {put.header.index, put.header.key.hash, put.extent_blocks};
}

ring::ExtentSeat seat_of(const block::BlockHeader& header) {
  return {header.index, header.key.hash, kExtentBlocksMax};
}

StoredBlock& block_of(void* token) {
  return *static_cast<StoredBlock*>(token);
}

// True when every block there could go now, but for what hangs on them.
bool may_clear(const SlabUse& slab) {
  return std::all_of(slab.owners.begin(), slab.owners.end(), [](void* owner) {
    return owner == nullptr || may_go(*static_cast<StoredBlock*>(owner));
  });
}

// True when few of its blocks were touched since.
bool is_mostly_untouched(const SlabUse& slab, uint64_t since) {
  const auto touched = std::count_if(slab.owners.begin(), slab.owners.end(), [&](void* owner) {
    if (owner == nullptr) return false;
    const Extent* const extent = static_cast<StoredBlock*>(owner)->extent;
    // One that is in no extent is read into, or out of, just now.
    return extent == nullptr || extent->touched > since;
  });
  return static_cast<uint64_t>(touched) * 4 <= slab.live_slots;
}

}  // namespace

DomainId domain_of(const block::BlockKey& key) {
  return {key.tenant.bytes};
}

DramTier::DramTier(DramTierOptions options)
    : x_options(std::move(options)),
      x_own_descent(x_options.descent == nullptr ? std::make_unique<Descent>() : nullptr),
      x_lineage(x_options.descent == nullptr ? *x_own_descent : *x_options.descent, x_options.lane),
      x_memory(x_options.memory),
      x_seats(x_options.extents_max) {}

DramTier::~DramTier() {
  TARN_CHECK(x_removed.empty() && x_loose.empty());
  for (const auto& [key, extent] : x_extents)
    x_lineage.leave(*extent);
}

const block::BlockHeader* DramTier::find(const block::BlockKey& key) const {
  const auto found = x_blocks.find(key);
  if (found == x_blocks.end() || found->second->state != StoredBlock::State::visible) {
    return nullptr;
  }
  return &found->second->header;
}

void DramTier::find_all(std::span<const block::BlockKey> keys,
                        std::span<const block::BlockHeader*> found) const {
  TARN_CHECK(keys.size() == found.size());
  std::array<const StoredBlock*, kFindRow> blocks;
  for (size_t first = 0; first < keys.size(); first += kFindRow) {
    const auto row = keys.subspan(first, std::min(kFindRow, keys.size() - first));
    find_rows(x_blocks, row, [&](size_t i, auto it) {
      blocks[i] = it == x_blocks.end() ? nullptr : it->second.get();
      if (blocks[i] != nullptr) __builtin_prefetch(&blocks[i]->state);
    });
    for (size_t i = 0; i < row.size(); ++i) {
      const bool is_there = blocks[i] != nullptr && blocks[i]->state == StoredBlock::State::visible;
      found[first + i] = is_there ? &blocks[i]->header : nullptr;
    }
  }
}

void DramTier::read(const block::BlockKey& key, Instant, ReadDone done) {
  const auto found = x_blocks.find(key);
  if (found == x_blocks.end() || found->second->state != StoredBlock::State::visible) {
    done(not_found("no such block"));
    return;
  }
  StoredBlock& block = *found->second;
  EvictionQueue::hit(*block.extent);
  block.extent->touched = x_put_bytes;
  block.was_read = true;
  done(pin_of(block));
}

Pin DramTier::pin_of(StoredBlock& block) {
  ++block.pins;
  return Pin(this, &block, block.slot.payload(block.header.payload_bytes));
}

std::optional<Pin> DramTier::pin_at(const std::byte* payload) {
  auto* const block = static_cast<StoredBlock*>(x_memory.owner_at(payload));
  if (block == nullptr || block->state == StoredBlock::State::reserved) return std::nullopt;
  return pin_of(*block);
}

Status DramTier::check_new(const BlockPut& put) const {
  const block::BlockHeader& header = put.header;
  if (header.payload_bytes == 0 || header.payload_bytes > kBlockBytesMax) {
    return invalid_argument("payload: a block has 1 byte to 64 MiB");
  }
  if (!x_memory.may_ever_hold(header.payload_bytes)) {
    return invalid_argument("payload: larger than the dram that this server may use for it");
  }
  if (header.key.hash.is_empty() || header.anchor.is_empty()) {
    return invalid_argument("hash, anchor: 1 to 32 bytes");
  }
  const auto found = x_blocks.find(header.key);
  if (found == x_blocks.end()) return Status::ok();
  if (found->second->state == StoredBlock::State::visible) {
    return already_exists("the block is there");
  }
  return conflict("another put of the block is under way");
}

Status DramTier::take_seat(const BlockPut& put) {
  return x_seats.admit(extent_key(put.header), seat_of(put));
}

Result<Slot> DramTier::reserve(const BlockPut& put) {
  TARN_RETURN_IF_ERROR(check_new(put));
  if (TARN_FAULT_POINT("store.reserve")) return overloaded("no room: fault point");
  TARN_RETURN_IF_ERROR(take_seat(put));
  // In its chain before there is room for it: what it continues must not go to make that room.
  StoredBlock& block = place(std::make_unique<StoredBlock>(), put);
  auto room = make_room(put, &block);
  if (!room) {
    retire(block, false);
    return room.error();
  }
  block.slot = *room;
  block.header.generation = {block.slot.header().generation.load(std::memory_order_relaxed)};
  return Slot(this, &block, block.slot.payload(block.header.payload_bytes));
}

StoredBlock& DramTier::place(std::unique_ptr<StoredBlock> owned, const BlockPut& put) {
  StoredBlock& block = *owned;
  block.header = put.header;
  OwnedExtent& home = extent_for(put);
  add_block(home, block);
  if (put.header.index == 0) {
    home.continued = put.parent;
    x_lineage.join(home, put.parent);
  }
  home.in->grow(home, put.header.payload_bytes);
  x_put_bytes += put.header.payload_bytes;
  home.touched = x_put_bytes;
  x_blocks.emplace(put.header.key, std::move(owned));
  return block;
}

DramTier::OwnedExtent& DramTier::extent_for(const BlockPut& put) {
  const ring::ExtentKey key = extent_key(put.header);
  auto& owned = x_extents[key];
  if (owned != nullptr) return *owned;
  owned = std::make_unique<OwnedExtent>();
  owned->key = key;
  owned->position = ring::position_of(key.tenant, key.space, key.anchor);
  owned->in =
      &x_queues[{domain_of(put.header.key), memory::size_class_of(put.header.payload_bytes)}];
  x_by_position.emplace(owned->position, owned.get());
  owned->in->add(*owned);
  return *owned;
}

EvictionQueue& DramTier::queue_of(Extent& extent) {
  return *static_cast<OwnedExtent&>(extent).in;
}

void DramTier::publish(Slot slot) {
  StoredBlock& block = block_of(slot.take_token());
  TARN_CHECK(block.state == StoredBlock::State::reserved);
  write_header(block);
  block.state = StoredBlock::State::visible;
  x_payload_bytes += block.header.payload_bytes;
  ++x_visible_blocks;
  announce(block, false);
}

void DramTier::abandon(void* token) {
  StoredBlock& block = block_of(token);
  TARN_CHECK(block.state == StoredBlock::State::reserved);
  if (block.extent != nullptr) return retire(block, false);
  x_memory.release(block.slot);
  x_loose.erase(&block);
}

// What who maps the slab compares with what it asked for.
void DramTier::write_header(StoredBlock& block) {
  const auto encoded = block::encode(block.header);
  auto& place = block.slot.header().block_header;
  std::copy(encoded.begin(), encoded.end(), place.begin());
}

void DramTier::set_payload_crc(void* token, uint32_t crc32c) {
  StoredBlock& block = block_of(token);
  TARN_CHECK(block.state == StoredBlock::State::reserved);
  block.header.payload_crc = crc32c;
}

Status DramTier::remove(const block::BlockKey& key) {
  const auto found = x_blocks.find(key);
  if (found == x_blocks.end()) return not_found("no such block");
  if (found->second->state == StoredBlock::State::reserved) {
    return conflict("a put of the block is under way");
  }
  retire(*found->second, false);
  return Status::ok();
}

uint64_t DramTier::remove_all(const TenantId& tenant, const SpaceId& space) {
  std::vector<block::BlockKey> doomed;
  for (const auto& [key, block] : x_blocks) {
    const bool meant = key.tenant == tenant && (space.is_zero() || key.space == space);
    if (meant && block->state == StoredBlock::State::visible) doomed.push_back(key);
  }
  for (const auto& key : doomed)
    TARN_CHECK(remove(key).is_ok());
  return doomed.size();
}

// The block leaves the index at once; its memory, where it has got any, is free when nobody reads
// it any more.
void DramTier::retire(StoredBlock& block, bool evicted) {
  const bool was_visible = block.state == StoredBlock::State::visible;
  detach(block, evicted);
  if (was_visible) {
    x_payload_bytes -= block.header.payload_bytes;
    --x_visible_blocks;
    announce(block, true);
  }
  const auto found = x_blocks.find(block.header.key);
  TARN_CHECK(found != x_blocks.end() && found->second.get() == &block);
  auto owned = std::move(found->second);
  x_blocks.erase(found);
  block.state = StoredBlock::State::removed;
  if (block.pins > 0) {
    x_removed.emplace(&block, std::move(owned));
  } else if (block.slot.slab != nullptr) {
    x_memory.release(block.slot);
  }
}

void DramTier::detach(StoredBlock& block, bool evicted) {
  Extent& extent = *block.extent;
  queue_of(extent).shrink(extent, block.header.payload_bytes);
  take_block(extent, block);
  x_seats.forget(extent.key, seat_of(block.header));
  if (extent.is_empty()) drop_extent(extent, evicted);
}

void DramTier::drop_extent(Extent& extent, bool evicted) {
  const auto found = x_extents.find(extent.key);
  TARN_CHECK(found != x_extents.end());
  OwnedExtent& owned = *found->second;
  owned.in->remove(owned, evicted);
  x_lineage.leave(owned);
  x_by_position.erase({owned.position, &owned});
  x_extents.erase(found);
}

const block::BlockHeader& DramTier::header_of(const void* token) const {
  return static_cast<const StoredBlock*>(token)->header;
}

void DramTier::unpin(void* token) {
  StoredBlock& block = block_of(token);
  TARN_CHECK(block.pins > 0);
  if (--block.pins > 0 || block.state != StoredBlock::State::removed) return;
  x_memory.release(block.slot);
  x_removed.erase(&block);
}

void DramTier::announce(const StoredBlock& block, bool removed) {
  if (x_options.on_change) x_options.on_change({block.header, removed});
}

Result<SlotRef> DramTier::make_room(const BlockPut& put, StoredBlock* owner) {
  const DomainId domain = domain_of(put.header.key);
  const uint64_t bytes = put.header.payload_bytes;
  uint32_t older_slabs_left = kOlderSlabsMax;
  for (uint32_t step = 0; step < kEvictionsMax; ++step) {
    if (auto slot = x_memory.allocate(domain, bytes, owner)) return *slot;
    if (x_memory.may_grow(domain, bytes)) {
      TARN_RETURN_IF_ERROR(x_memory.grow(domain, bytes));
    } else if (!evict_for(put, older_slabs_left)) {
      if (x_is_held_up) return overloaded("dram is full of what waits for the drives: try again");
      return overloaded(
          "dram is full of blocks that are in use, belong to others or stand before this one in "
          "its chain");
    }
  }
  return overloaded("dram: too much would have to go for this block");
}

bool DramTier::evict_for(const BlockPut& put, uint32_t& older_slabs_left) {
  Search search{.put = put, .number = ++x_searches};
  x_is_held_up = false;
  if (clear_a_slab(search)) return true;
  const auto own =
      x_queues.find({domain_of(put.header.key), memory::size_class_of(put.header.payload_bytes)});
  const bool has_own = own != x_queues.end();
  if (has_own && take_from_older(*own, search, older_slabs_left)) return true;
  if (has_own && evict_from(own->second, search)) return true;
  for (size_t tried = 1; tried < kSlabsMax && !x_is_held_up; ++tried) {
    if (clear_a_slab(search)) return true;
  }
  return has_own && !x_is_held_up && x_options.on_evicted && evict_out_of_turn(own->second);
}

// What lies below as well may go before its child: the chain has no hole for it.
bool DramTier::evict_out_of_turn(EvictionQueue& queue) {
  bool went = false;
  while (Extent* const extent = went ? nullptr : queue.victim()) {
    const auto deepest = std::find_if(extent->blocks.rbegin(), extent->blocks.rend(),
                                      [](StoredBlock* block) { return may_go(*block); });
    if (deepest != extent->blocks.rend()) {
      went = evict(**deepest, false);
      if (!went) break;
    } else {
      queue.pass_over(*extent);
    }
  }
  queue.end_round();
  return went;
}

// The sizes of one domain share its memory by age: while one keeps what nobody has touched for
// longer than what another one would have to let go, that is where the room comes from. True when
// at least one block went.
bool DramTier::take_from_older(Queues::value_type& own, Search& search, uint32_t& slabs_left) {
  const Extent* const own_next = own.second.victim();
  if (own_next == nullptr) return false;
  const uint64_t own_age = x_put_bytes - own_next->touched;
  // A slab takes younger blocks with it, and is not to go to and fro between two sizes.
  const uint64_t older = own_age + std::max(own_age / 4, memory::kClassSlabBytes);
  const auto oldest = oldest_but(own.first, older, search);
  if (!oldest) return false;
  SlabUse& slab = *oldest->block->slot.slab;
  // Where the slab cannot go for it, it goes alone: it would hide what lies in slabs that could.
  const bool is_its_slab = !slab.is_mixed() && slab.size_class == oldest->size_class;
  if (!is_its_slab || !is_mostly_untouched(slab, x_put_bytes - older)) {
    return evict(*oldest->block);
  }
  if (slabs_left == 0 || !may_clear(slab)) return false;
  --slabs_left;
  return clear(slab, search);
}

// Of the domain's other sizes, the one whose next to go is the oldest and has at least that age.
std::optional<DramTier::Oldest> DramTier::oldest_but(const QueueKey& own, uint64_t age,
                                                     Search& search) {
  std::optional<Oldest> oldest;
  for (auto it = x_queues.lower_bound({own.domain, 0});
       it != x_queues.end() && it->first.domain == own.domain; ++it) {
    Extent* const next = it->first == own ? nullptr : it->second.victim();
    if (next == nullptr || x_put_bytes - next->touched < age) continue;
    const Lineage::Turn turn = x_lineage.next_to_go(*next, search.number);
    if (!turn.is_free()) continue;
    oldest = {turn.block, it->first.size_class};
    age = x_put_bytes - next->touched;
  }
  return oldest;
}

bool DramTier::evict(StoredBlock& block, bool may_be_lost) {
  Leaving leaving;
  Fate fate = Fate::lost;
  if (x_options.on_evicted) {
    leaving = {pin_of(block), parent_of(block), block.was_read};
    fate = x_options.on_evicted(leaving);
  }
  x_is_held_up = x_is_held_up || fate == Fate::waits;
  if (fate == Fate::waits || (fate == Fate::lost && !may_be_lost)) return false;
  ++x_evicted_blocks;
  retire(block, true);
  return true;
}

MakeWay DramTier::way_for(const BlockPut& put) {
  const block::BlockKey& key = put.header.key;
  MakeWay wanted;
  wanted.put = print_of(key.tenant, key.space, key.hash);
  if (!put.parent.is_empty()) wanted.put_parent = print_of(key.tenant, key.space, put.parent);
  return wanted;
}

void DramTier::ask_for_way(const Lineage::Turn& turn, MakeWay wanted) {
  TARN_DCHECK(turn.held_by != 0);
  wanted.parent = print_of(*turn.block);
  wanted.lanes = turn.held_by;
  if (x_options.on_blocked && !wanted.spares(wanted.parent)) x_options.on_blocked(wanted);
}

// An extent whose turn it is but whose children lie in other lanes keeps its turn: the first of
// them asks those lanes, and something else goes meanwhile. With nothing else, all of them ask.
bool DramTier::evict_from(EvictionQueue& queue, Search& search) {
  struct Held {
    Extent* extent;
    Lineage::Turn turn;
  };
  std::vector<Held> held;
  std::vector<Extent*> waiting;  // for the tier below; they keep their turn
  bool went = false;
  while (!went) {
    Extent* extent = queue.victim();
    if (extent == nullptr) break;
    const Lineage::Turn turn = x_lineage.next_to_go(*extent, search.number);
    went = turn.is_free();
    if (!went) queue.pass_over(*extent);
    if (turn.held_by != 0 && held.size() < kHeldMax) held.push_back({extent, turn});
    if (!went) continue;
    went = evict(*turn.block);
    if (went) break;
    // Another one may lie below already.
    queue.pass_over(*extent);
    waiting.push_back(extent);
    if (waiting.size() == kWaitingMax) break;
  }
  queue.end_round();
  for (size_t i = held.size(); i-- > 0;) {
    if (i == 0 || !went) ask_for_way(held[i].turn, way_for(search.put));
    queue.bring_back(*held[i].extent);
  }
  for (size_t i = waiting.size(); i-- > 0;)
    queue.bring_back(*waiting[i]);
  return went;
}

size_t DramTier::make_way(const MakeWay& wanted) {
  size_t gone = 0;
  while (gone < kEvictionsMax) {
    Extent* child = x_lineage.child_of(wanted.parent);
    if (child == nullptr) break;
    const Lineage::Turn turn = x_lineage.next_to_go(*child);
    if (wanted.spares(print_of(*turn.block))) break;
    if (turn.is_free()) {
      if (!evict(*turn.block)) break;
      ++gone;
    } else if (turn.held_by == 0) {
      break;
    } else if (wanted.hops < kHopsMax) {
      MakeWay further = wanted;
      ++further.hops;
      ask_for_way(turn, further);
      break;
    } else {
      x_lineage.leave(*child);
    }
  }
  return gone;
}

// True when at least one block went.
bool DramTier::clear_a_slab(Search& search) {
  const block::BlockHeader& header = search.put.header;
  SlabUse* slab =
      x_memory.slab_to_clear(domain_of(header.key), header.payload_bytes, search.number);
  if (slab == nullptr) return false;
  if (clear(*slab, search)) return true;
  slab->stuck_in = search.number;
  return false;
}

bool DramTier::clear(SlabUse& slab, Search& search) {
  bool any = false;
  // Evictions free slots and so change the owners; the slab itself stays until its room is wanted.
  for (size_t slot = 0; slot < slab.owners.size(); ++slot) {
    if (slab.owners[slot] == nullptr) continue;
    auto& block = block_of(slab.owners[slot]);
    if (block.state != StoredBlock::State::visible) continue;
    any = evict_with_deeper(block, search) || any;
  }
  return any;
}

// Evicts the block after all that hang on it. True when at least one block went.
bool DramTier::evict_with_deeper(StoredBlock& block, Search& search) {
  bool any = false;
  while (true) {
    const Lineage::Turn turn = x_lineage.next_to_go(*block.extent, search.number);
    if (turn.held_by != 0 && search.asks_left > 0) {
      --search.asks_left;
      ask_for_way(turn, way_for(search.put));
    }
    if (!turn.is_free()) return any;
    const bool is_last = turn.block == &block;
    if (!evict(*turn.block)) return any;
    any = true;
    if (is_last) return any;
  }
}

TierUsage DramTier::usage() const {
  return {.capacity_bytes = x_options.memory.cap_bytes,
          .memory_bytes = x_memory.slab_bytes(),
          .payload_bytes = x_payload_bytes,
          .blocks = x_visible_blocks,
          .evicted_blocks = x_evicted_blocks};
}

std::optional<Position> DramTier::scan(
    const PositionRange& range, size_t limit,
    const std::function<void(const block::BlockHeader&)>& visit) const {
  size_t shown = 0;
  auto it = x_by_position.lower_bound({range.first, nullptr});
  while (it != x_by_position.end() && it->first <= range.last) {
    // Extents that share a position are shown together, so that a scan goes on between positions.
    if (shown >= limit && it != x_by_position.begin() && std::prev(it)->first != it->first) {
      return it->first;
    }
    for (const StoredBlock* block : it->second->blocks) {
      if (block->state != StoredBlock::State::visible) continue;
      visit(block->header);
      ++shown;
    }
    ++it;
  }
  return std::nullopt;
}

}  // namespace tarn::store
