#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "common/base/clock.h"
#include "common/base/find_rows.h"
#include "common/base/units.h"
#include "common/ring/config.h"
#include "server/flash/drive/flash_drives.h"
#include "server/object/store/object_store.h"
#include "server/store/dram_exchange.h"
#include "server/thread/inbox.h"

namespace tarn::tiers {

struct TieredStoreOptions {
  store::DramTier* dram = nullptr;        // outlives the store; its on_evicted() calls this
  flash::FlashDrives* drives = nullptr;   // outlives it; null: no flash
  object::ObjectStore* object = nullptr;  // outlives it; null: none
  std::shared_ptr<thread::Inbox> home;    // of the lane: where drives answer
  store::ChangeSink on_change;            // of copies on flash
  std::function<void(const block::BlockHeader&)> on_lost;  // what left dram and did not reach flash
  // Of the config whose floors were applied when the drives were recovered.
  Epoch floors_known;
  uint64_t writing_bytes_max = 64 * kMiB;  // that are on their way to drives, but for one block
};

// What the store has done. Value type.
struct TieredCounters {
  uint64_t flash_hits = 0;    // reads that a drive served
  uint64_t flash_bytes = 0;   // of them
  uint64_t flash_misses = 0;  // reads that a drive should have served, and did not
  uint64_t destaged = 0;      // blocks that reached flash
  uint64_t destage_refused = 0;
};

// The blocks of one lane, in dram and below it on flash and in an object store. A get of what lies
// below brings it into dram; what dram evicts goes to flash; what flash does not take, and was
// asked for at least once, to the object store; a put of class flash waits until it is on flash.
// What the object store does not give is a miss. One-thread (the lane's). Life: construct, use with
// tick(), destroy when is_idle(), or when the drives are closed and the inbox is run no more. Pins
// and slots are the dram tier's. Limits: kFetchesMax reads under way, and the options'.
class TieredStore final : public store::Tier {
 public:
  static constexpr size_t kFetchesMax = 256;

  explicit TieredStore(TieredStoreOptions options);
  ~TieredStore() override;

  // Of a block below dram only key and payload_bytes are told.
  const block::BlockHeader* find(const block::BlockKey& key) const override;
  void find_all(std::span<const block::BlockKey> keys,
                std::span<const block::BlockHeader*> found) const override;
  using Tier::read;
  void read(const block::BlockKey& key, Instant deadline, store::ReadDone done) override;
  void read_ahead(const block::BlockKey& key) override;
  Result<store::Slot> reserve(const store::BlockPut& put) override;
  void publish(store::Slot slot) override { x_dram.publish(std::move(slot)); }
  Status remove(const block::BlockKey& key) override;
  void persist(const block::BlockKey& key, Instant deadline, store::PersistDone done) override;
  store::TierUsage usage() const override { return x_dram.usage(); }

  // The block is about to leave dram: its pin is taken where it goes to flash. While the drives are
  // behind with what they have, it stays.
  store::Fate on_evicted(store::Leaving& leaving);
  // Flash has it, or will, or the object store has.
  bool is_below(const block::BlockKey& key) const;
  // A config of this epoch has come: what its floors remove, on flash and on its way there and
  // back, is gone, but for floors that were known already; what goes to flash is marked with the
  // epoch.
  void on_config(Epoch epoch, std::span<const ring::Floor> floors);

  // Ends those whose deadline has come; returns what it did.
  size_t tick(Instant now);
  bool is_idle() const { return x_under_way == 0; }
  const TieredCounters& counters() const { return x_counters; }

 private:
  struct Fetch;
  struct Write;
  template <typename Value>
  using ByKey = absl::flat_hash_map<block::BlockKey, std::shared_ptr<Value>,
                                    RowHash<block::BlockKey>, RowEqual<block::BlockKey>>;

  void forget_all(const ring::Floor& floor);
  const block::BlockHeader* find_below(const block::BlockKey& key, block::BlockHeader& room) const;
  const Write* leaving(const block::BlockKey& key) const;
  bool has_below() const { return x_drives != nullptr || x_object != nullptr; }
  bool is_on_flash(const block::BlockKey& key) const;
  std::optional<flash::FlashPlace> place_of(const block::BlockKey& key) const;
  store::Fate offer(const store::Leaving& leaving);
  Result<std::shared_ptr<Fetch>> fetch(const block::BlockKey& key);
  Status begin(const std::shared_ptr<Fetch>& fetch);
  size_t begin_waiting();
  void on_fetched(const std::shared_ptr<Fetch>& fetch, Result<flash::Entry> entry, bool is_free);
  void bring_in(Fetch& fetch, const flash::Entry& entry);
  Result<std::shared_ptr<Write>> write(store::Leaving& block, bool is_asked_for);
  void on_written(const std::shared_ptr<Write>& write, const Status& outcome, bool is_free);
  bool follow(const std::shared_ptr<Fetch>& fetch);
  bool forget_below(const block::BlockKey& key);
  void tell_forgotten(const block::BlockKey& key, const flash::FlashPlace& place);
  bool is_behind(uint64_t bytes) const;
  void announce(const block::BlockHeader& header, bool removed);

  const block::BlockHeader& header_of(const void* token) const override;
  void unpin(void* token) override;
  void abandon(void* token) override;
  void set_payload_crc(void* token, uint32_t crc32c) override;

  const TieredStoreOptions x_options;
  store::DramTier& x_dram;
  store::DramExchange x_exchange;
  flash::FlashDrives* const x_drives;
  object::ObjectStore* const x_object;
  ByKey<Fetch> x_fetches;
  ByKey<Write> x_writes;
  std::deque<std::shared_ptr<Fetch>> x_waiting;  // of the fetches: for room in dram
  // Told as late: the drives have their memory still.
  std::vector<std::shared_ptr<Fetch>> x_late_fetches;
  std::vector<std::shared_ptr<Write>> x_late_writes;
  uint64_t x_writing_bytes = 0;
  Instant x_now = system_clock().now();  // as of the last tick
  Instant x_written_at{0};  // when a drive last ended a write, or was given one after a pause
  size_t x_under_way = 0;   // answers of drives that are to come
  Epoch x_epoch;
  Instant x_due{0};
  Instant x_room_due{0};
  TieredCounters x_counters;
  mutable block::BlockHeader x_found;
  mutable std::vector<block::BlockHeader> x_found_all;
};

}  // namespace tarn::tiers
