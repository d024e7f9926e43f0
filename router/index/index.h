#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "common/base/ids.h"
#include "router/index/domains.h"
#include "router/index/doubt.h"
#include "router/index/extent_image.h"
#include "router/index/fair_lock.h"
#include "router/index/row_table.h"
#include "router/index/stored_block.h"

namespace tarn::index {

struct Change;
struct Coverage;
struct Place;

// What this router knows of who holds which block, in memory (docs/SESSIONS.md is about the rest
// of a session). A hint, never the truth: servers hold that, so what is missing or stale here costs
// a miss. Thread-safe; readers and writers take turns in small steps, so that neither waits long.
//
// Writers speak for one server under a Handle: attach, then apply its events in their order; begin
// anew with retire. Events under a handle that was retired change nothing.
//
// A resync compares one range of the ring, or one extent that somebody doubts, with the server's
// inventory while its events go on: begin_scan before the inventory is asked for, add_scanned with
// what it tells, end_scan. In between, a removal stays as a tombstone, so that the inventory does
// not bring the block back, and an addition counts as seen. One scan for a handle at a time.
class Index {
 public:
  explicit Index(uint64_t seed);
  ~Index();

  // The server's handle; the one it has if it has one.
  Handle attach(ServerId server);
  void apply(Handle handle, std::span<const BlockEvent> events);
  // Not retired.
  bool is_live(Handle handle) const;
  // At once nothing is found at the server any more; the rows are cleaned by sweep_retired.
  void retire(Handle handle);
  // Removes retired servers from all rows, in steps.
  void sweep_retired();

  // Precondition: area.range < kRanges.
  void begin_scan(Handle handle, const ScanArea& area);
  void add_scanned(Handle handle, std::span<const StoredBlock> blocks);
  // With `complete`, forgets what the server did not show in the area.
  void end_scan(Handle handle, bool complete);

  // The longest prefix of the chain whose blocks are somewhere in all shards asked for. The others
  // take hashes only.
  MatchAnswer match(const ChainQuery& query) const;
  // One for each hash, in that order.
  std::vector<Located> locate(const ChainQuery& query) const;
  // Of "servers[i] has no block query.hashes[i]": where this index says otherwise. Precondition: as
  // many servers as hashes.
  std::vector<Doubt> doubts(const ChainQuery& query, std::span<const ServerId> servers) const;
  IndexStats stats() const;

  // For snapshots: the extents of a range by position, how often it has changed, and the way back.
  std::vector<ExtentImage> copy_range(uint32_t range) const;
  uint64_t range_changes(uint32_t range) const;
  // Takes what a snapshot holds; extents that are malformed or there already are left out.
  void restore(std::span<const ExtentImage> extents);

 private:
  struct Scan {
    ScanArea area;
    absl::flat_hash_map<uint64_t, uint64_t> seen;  // by row, shard and tier: bits of indexes
    absl::flat_hash_set<uint64_t> tombstones;      // of block, shard and tier
  };
  struct Server {
    ServerId id;
    bool retired = false;
    std::unique_ptr<Scan> scan;
  };

  struct Lot;
  Handle attach_locked(ServerId server) TARN_REQUIRES(x_lock);
  Server* live_server(Handle handle) TARN_REQUIRES(x_lock);
  std::optional<Place> place_of(const StoredBlock& block) const;
  bool add(Handle handle, const StoredBlock& block, const Place& place) TARN_REQUIRES(x_lock);
  void drop_retired(RowRef row) TARN_REQUIRES(x_lock);
  std::optional<RowRef> row_for(const Place& place, Handle handle) TARN_REQUIRES(x_lock);
  bool seat(RowRef row, const Place& place, Handle handle) TARN_REQUIRES(x_lock);
  void remove(Handle handle, const StoredBlock& block, const Place& place) TARN_REQUIRES(x_lock);
  void apply_lot(Handle handle, const Lot& lot);
  void apply_one(Handle handle, Server& server, const Change& change) TARN_REQUIRES(x_lock);
  void retain_seen(Handle handle, const Scan& scan, RowRef row) TARN_REQUIRES(x_lock);
  void add_seen(Handle handle, Server& server, const StoredBlock& block) TARN_REQUIRES(x_lock);
  bool end_extent_scan(Handle handle, bool complete);

  Coverage coverage_of(const Row& row, std::span<const uint32_t> shards) const
      TARN_REQUIRES_SHARED(x_lock);
  bool match_some(const ChainQuery& query, std::span<const Fingerprint> prints,
                  MatchAnswer& answer) const;
  bool add_run(const ChainQuery& query, std::span<const Fingerprint> prints, RowRef block,
               MatchAnswer& answer) const TARN_REQUIRES_SHARED(x_lock);
  bool is_at(RowRef block, ServerId server) const TARN_REQUIRES_SHARED(x_lock);
  Located locate_one(const ChainQuery& query, size_t i, Fingerprint print) const
      TARN_REQUIRES_SHARED(x_lock);
  std::vector<Fingerprint> prints_of(const ChainQuery& query) const;
  ExtentImage image_of(const Row& row) const TARN_REQUIRES_SHARED(x_lock);
  void restore_one(const ExtentImage& image) TARN_REQUIRES(x_lock);

  const uint64_t x_seed;
  mutable FairLock x_lock;
  RowTable x_rows TARN_GUARDED_BY(x_lock);
  Domains x_domains TARN_GUARDED_BY(x_lock);
  std::map<Handle, Server> x_servers TARN_GUARDED_BY(x_lock);
  std::map<ServerId, Handle> x_handles TARN_GUARDED_BY(x_lock);  // live ones
  Handle x_next_handle TARN_GUARDED_BY(x_lock) = 1;
  uint64_t x_refused TARN_GUARDED_BY(x_lock) = 0;
};

}  // namespace tarn::index
