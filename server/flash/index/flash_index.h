#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "common/base/ids.h"
#include "common/base/mutex.h"
#include "common/block/key.h"

namespace tarn::flash {

// Where a block lies among a server's drives. Value type.
struct FlashPlace {
  uint8_t drive = 0;
  uint32_t region = 0;
  uint64_t offset = 0;  // of the payload in the region
  uint64_t group = 0;   // of the page that names it, in the region: at most kGroupReach before
  uint64_t bytes = 0;   // of the payload

  friend bool operator==(const FlashPlace&, const FlashPlace&) = default;
};

// What is found in a region and how often it was asked for.
struct RegionUse {
  uint64_t live_bytes = 0;  // of payloads
  uint64_t live_blocks = 0;
  uint64_t hits = 0;  // since they were last halved
};

// Which blocks lie on the drives of a server, and where: in memory, 64 bytes a block at most, made
// anew at each start from what the drives themselves say. A row stands for a keyed fingerprint of
// the block's key: whoever reads compares the key itself with what the drive says. Lanes look up,
// the drives' threads write. Thread-safe; calls take one of kParts locks each. Limits: kDrivesMax
// drives, regions and spaces as below.
class FlashIndex {
 public:
  static constexpr size_t kDrivesMax = 256;
  static constexpr uint32_t kRegionsMax = 1u << 24;
  static constexpr uint8_t kHitsMax = 31;

  FlashIndex();
  FlashIndex(const FlashIndex&) = delete;
  FlashIndex& operator=(const FlashIndex&) = delete;

  // Before anything lies there.
  void add_drive(uint8_t drive, uint32_t regions);

  std::optional<FlashPlace> find(const block::BlockKey& key) const;
  // The same for a get: it counts as a hit of the block and its region.
  std::optional<FlashPlace> hit(const block::BlockKey& key);

  // The block lies there from now on, and nowhere else; `put_in` is the epoch of the config that it
  // was put under. True when it lay nowhere before. Nothing where a floor above it has come.
  bool put(const block::BlockKey& key, const FlashPlace& place, Epoch put_in);

  // The same bytes lie there now; nobody has asked for them there. False where it lies elsewhere,
  // or nowhere, by now: nothing changes.
  bool move(const block::BlockKey& key, const FlashPlace& from, const FlashPlace& to);

  // Returns whether there was such a row; of the second kind only one that leads there.
  bool erase(const block::BlockKey& key);
  bool erase(const block::BlockKey& key, const FlashPlace& place);

  // How often the block was asked for since it was put there; nothing where it does not lie there.
  std::optional<uint8_t> hits_at(const block::BlockKey& key, const FlashPlace& place) const;

  // A floor: what the tenant, or one space of it (zero: all), has put under an earlier epoch.
  // Returns how many; a floor that is known already removes nothing.
  uint64_t erase_all(const TenantId& tenant, const SpaceId& space, Epoch floor);

  // What is still said to lie in the region. Walks all rows. Returns how many.
  uint64_t erase_region(uint8_t drive, uint32_t region);

  // What is said to lie on the drive, as erase_region().
  uint64_t erase_drive(uint8_t drive);

  RegionUse use_of(uint8_t drive, uint32_t region) const;
  void halve_hits(uint8_t drive, uint32_t region);

  uint64_t blocks() const { return x_blocks.load(std::memory_order_relaxed); }
  uint64_t payload_bytes() const { return x_payload_bytes.load(std::memory_order_relaxed); }
  // Of the rows, as they are allocated.
  uint64_t memory_bytes() const;

 private:
  static constexpr size_t kParts = 64;

  // 64 bits, kept as words so that a row needs no padding.
  struct Print {
    uint32_t high = 0;
    uint32_t low = 0;
    friend bool operator==(const Print&, const Print&) = default;
  };
  struct PrintHash {
    size_t operator()(const Print& print) const { return uint64_t{print.high} << 32 | print.low; }
  };
  struct Row {
    uint32_t drive_region = 0;  // 8 and 24 bits
    uint16_t page = 0;          // of the payload
    uint16_t back = 0;          // pages from there to that of its group
    uint32_t bytes_hits = 0;    // 27 and 5 bits
    uint32_t space = 0;
  };
  struct Part {
    mutable Mutex mutex;
    absl::flat_hash_map<Print, Row, PrintHash> rows TARN_GUARDED_BY(mutex);
  };
  struct Use {
    std::atomic<uint64_t> live_bytes{0};
    std::atomic<uint64_t> live_blocks{0};
    std::atomic<uint64_t> hits{0};
  };
  struct Drive {
    std::unique_ptr<Use[]> regions;
  };

  Print print_of(const block::BlockKey& key) const;
  Part& part_of(Print print) const { return x_parts[print.high % kParts]; }
  Use& use_at(const Row& row) const;
  std::optional<uint32_t> space_number(const block::BlockKey& key, Epoch put_in);
  template <typename IsMeant>
  uint64_t erase_if(const IsMeant& is_meant);
  static Row row_of(const FlashPlace& place);
  static FlashPlace place_of(const Row& row);
  static bool leads_to(const Row& row, const FlashPlace& place);
  void count(const Row& row);
  void discount(const Row& row);

  uint64_t x_seed;
  mutable std::array<Part, kParts> x_parts;
  std::array<Drive, kDrivesMax> x_drives;
  using Space = std::pair<TenantId, SpaceId>;
  Mutex x_spaces_mutex;  // taken within a part's
  // A space has a new number after each floor: rows from before it are known by the old one.
  std::map<Space, uint32_t> x_spaces TARN_GUARDED_BY(x_spaces_mutex);
  std::map<Space, Epoch> x_floors TARN_GUARDED_BY(x_spaces_mutex);
  uint32_t x_next_space TARN_GUARDED_BY(x_spaces_mutex) = 0;
  std::atomic<uint64_t> x_blocks{0};
  std::atomic<uint64_t> x_payload_bytes{0};
};

}  // namespace tarn::flash
