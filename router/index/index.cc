#include "router/index/index.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/units.h"
#include "common/ring/position.h"
#include "router/index/place.h"
#include "router/index/walk.h"

namespace tarn::index {
namespace {

// Events that one turn at the lock takes in.
constexpr size_t kEventsPerTurn = 256;
// Events by which the place of one's own print is asked for ahead.
constexpr size_t kTableAhead = 6;

bool is_sound(const StoredBlock& block) {
  const bool tier = block.tier >= Tier::dram && block.tier <= Tier::object;
  const bool hashes = !block.hash.is_empty() && !block.anchor.is_empty();
  const bool seat =
      block.index < kExtentBlocksMax && (block.index > 0 || block.hash == block.anchor);
  return tier && hashes && seat && block.shard.value <= UINT16_MAX && block.bytes <= kBlockBytesMax;
}

}  // namespace

// An event, with the place of a block that is sound.
struct Change {
  std::optional<Place> place;
  bool removed = false;
};

Index::Index(uint64_t seed) : x_seed(seed) {}
Index::~Index() = default;

Handle Index::attach(ServerId server) {
  const WriteTurn turn(x_lock);
  return attach_locked(server);
}

Handle Index::attach_locked(ServerId server) {
  const auto found = x_handles.find(server);
  if (found != x_handles.end()) return found->second;
  const Handle handle = x_next_handle++;
  TARN_CHECK(handle != kNoHandle);
  x_servers[handle].id = server;
  x_handles[server] = handle;
  return handle;
}

Index::Server* Index::live_server(Handle handle) {
  const auto found = x_servers.find(handle);
  return found == x_servers.end() || found->second.retired ? nullptr : &found->second;
}

std::optional<Place> Index::place_of(const StoredBlock& block) const {
  if (!is_sound(block)) return std::nullopt;
  Place place;
  place.block = &block;
  place.domain = {block.tenant, block.space};
  place.position = ring::position_of(block.tenant, block.space, block.anchor);
  const DomainKey key = domain_key(x_seed, block.tenant, block.space);
  place.anchor_print = fingerprint_of(key, block.anchor);
  place.print = block.index == 0 ? place.anchor_print : fingerprint_of(key, block.hash);
  return place;
}

void Index::drop_retired(RowRef ref) {
  const auto* const servers = &x_servers;
  x_rows.retain(ref, [servers](const Holder& holder) {
    return servers->at(holder.server).retired ? 0 : ~uint64_t{0};
  });
}

// The row of the block's extent, made if need be. None when it has no room for the server, or when
// another extent has the anchor's fingerprint.
std::optional<RowRef> Index::row_for(const Place& place, Handle handle) {
  auto found = x_rows.find(place.anchor_print);
  if (found && found->index() != 0) {
    // Known within another extent so far: two writers placed it differently, or the fingerprints
    // are equal by chance. As the newest, this one counts.
    const uint64_t rest = ~bit_of(found->index());
    x_rows.retain(*found, [rest](const Holder&) { return rest; });
    found.reset();
  }
  if (found && !x_rows.has_room_for(*found, handle)) {
    drop_retired(*found);
    found = x_rows.find(place.anchor_print);
  }
  if (!found) {
    return x_rows.add_row(place.position, x_domains.find_or_add(place.domain), place.anchor_print);
  }
  const Row& row = x_rows.row(*found);
  const bool is_same = row.position == place.position && x_domains.at(row.domain) == place.domain;
  return is_same && x_rows.has_room_for(*found, handle) ? found : std::nullopt;
}

// The place of a block with an index above 0 in its row. False when other blocks keep it out.
bool Index::seat(RowRef ref, const Place& place, Handle handle) {
  const uint32_t index = place.block->index;
  const uint64_t bit = bit_of(index);
  if (x_rows.row(ref).print(index) == place.print) return true;
  if (x_rows.row(ref).print(index) != 0) {
    // Another block at this index. If only this server had it there, it is gone by now.
    bool elsewhere = false;
    uint64_t others = 0;
    x_rows.row(ref).for_each_holder([&](const Holder& holder) {
      elsewhere |= holder.server != handle && (holder.blocks & bit) != 0;
      others |= holder.blocks & ~bit;
    });
    if (elsewhere || others == 0) return false;
    x_rows.retain(ref, [bit](const Holder&) { return ~bit; });
  }
  if (x_rows.find(place.print)) return false;
  x_rows.set_print(ref, index, place.print);
  return true;
}

bool Index::add(Handle handle, const StoredBlock& block, const Place& place) {
  const auto ref = row_for(place, handle);
  if (!ref) return false;
  Row& row = x_rows.row(*ref);
  if (block.index > 0 && !seat(*ref, place, handle)) {
    x_rows.forget_unheld(*ref);
    return false;
  }
  x_rows.hold(*ref, block.index, place.holder(handle));
  if (row.body != nullptr && row.body->anchor.is_empty() && block.index > 0)
    row.body->anchor = block.anchor;
  row.block_bytes = static_cast<uint32_t>(block.bytes);
  Scan* scan = x_servers[handle].scan.get();
  if (scan != nullptr && scan->area.range == ref->range()) {
    const Holder as = place.holder(handle);
    scan->seen[seen_key(*ref, as.shard, as.tier)] |= bit_of(block.index);
  }
  return true;
}

void Index::remove(Handle handle, const StoredBlock& block, const Place& place) {
  const auto found = x_rows.find(place.anchor_print);
  if (!found || found->index() != 0) return;
  const Row& row = x_rows.row(*found);
  if (row.position != place.position || row.print(block.index) != place.print) return;
  const Holder as = place.holder(handle);
  const uint64_t rest = ~bit_of(block.index);
  x_rows.retain(*found, [&](const Holder& holder) {
    const bool is_it =
        holder.server == as.server && holder.shard == as.shard && holder.tier == as.tier;
    return is_it ? rest : ~uint64_t{0};
  });
}

void Index::apply_one(Handle handle, Server& server, const Change& change) {
  if (!change.place) {
    ++x_refused;
    return;
  }
  const Place& place = *change.place;
  const StoredBlock& block = *place.block;
  Scan* scan = server.scan.get();
  const bool in_scan = scan != nullptr && scan->area.range == range_of(place.position);
  const uint64_t tombstone = tombstone_key(place.print, block);
  if (change.removed) {
    if (in_scan) scan->tombstones.insert(tombstone);
    remove(handle, block, place);
    return;
  }
  if (in_scan) scan->tombstones.erase(tombstone);
  if (!add(handle, block, place)) ++x_refused;
}

// What one turn at the lock takes in.
struct Index::Lot {
  std::vector<Change> changes;
  std::vector<Fingerprint> anchors;  // 0 for a block that is not sound
  std::vector<uint32_t> indexes;

  void clear() {
    changes.clear();
    anchors.clear();
    indexes.clear();
  }
};

void Index::apply_lot(Handle handle, const Lot& lot) {
  const WriteTurn turn(x_lock);
  Server* server = live_server(handle);
  if (server == nullptr) return;
  Walk walk(x_rows, {lot.anchors, lot.indexes, 1});
  for (size_t i = 0; i < lot.changes.size(); ++i) {
    walk.go_to(i);
    const size_t then = i + kTableAhead;
    if (then < lot.changes.size() && lot.changes[then].place) {
      x_rows.fetch(lot.changes[then].place->print);
    }
    apply_one(handle, *server, lot.changes[i]);
  }
}

void Index::apply(Handle handle, std::span<const BlockEvent> events) {
  Lot lot;
  while (!events.empty()) {
    lot.clear();
    for (const BlockEvent& event : events.first(std::min(events.size(), kEventsPerTurn))) {
      lot.changes.push_back({place_of(event.block), event.removed});
      const auto& place = lot.changes.back().place;
      lot.anchors.push_back(place ? place->anchor_print : 0);
      lot.indexes.push_back(event.block.index);
    }
    events = events.subspan(lot.changes.size());
    apply_lot(handle, lot);
  }
}

bool Index::is_live(Handle handle) const {
  const ReadTurn turn(x_lock);
  const auto found = x_servers.find(handle);
  return found != x_servers.end() && !found->second.retired;
}

void Index::retire(Handle handle) {
  const WriteTurn turn(x_lock);
  Server* server = live_server(handle);
  if (server == nullptr) return;
  server->retired = true;
  server->scan.reset();
  // All of its rows are other rows from now on, though they are cleaned later: a snapshot that took
  // them for unchanged would bring them back.
  x_rows.touch_all();
  x_handles.erase(server->id);
}

void Index::sweep_retired() {
  absl::flat_hash_set<Handle> retired;
  {
    const WriteTurn turn(x_lock);
    for (const auto& [handle, server] : x_servers) {
      if (server.retired) retired.insert(handle);
    }
  }
  if (retired.empty()) return;
  const auto keep = [&retired](const Holder& holder) {
    return retired.contains(holder.server) ? 0 : ~uint64_t{0};
  };
  for (uint32_t range = 0; range < kRanges; ++range) {
    for (uint32_t number = 0;; number += kRowsPerTurn) {
      const WriteTurn turn(x_lock);
      const uint32_t end = std::min(number + kRowsPerTurn, x_rows.row_limit(range));
      for (uint32_t i = number; i < end; ++i) {
        const RowRef ref = RowRef::of(range, i);
        bool names_one = false;
        x_rows.row(ref).for_each_holder(
            [&](const Holder& holder) { names_one |= retired.contains(holder.server); });
        if (names_one) x_rows.retain(ref, keep);
      }
      if (end == x_rows.row_limit(range)) break;
    }
  }
  const WriteTurn turn(x_lock);
  for (const Handle handle : retired)
    x_servers.erase(handle);
}

IndexStats Index::stats() const {
  const ReadTurn turn(x_lock);
  IndexStats stats = x_rows.stats();
  stats.refused = x_refused;
  return stats;
}

}  // namespace tarn::index
