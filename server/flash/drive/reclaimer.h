#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "server/flash/index/flash_index.h"
#include "server/flash/log/region_log.h"
#include "server/io/page_buffer.h"

namespace tarn::flash {

// Where what a drive drops may go, if it was asked for. Both are called on the drive's thread.
struct TierBelow {
  std::function<bool()> takes_blocks;  // null: there is none
  std::function<void(const Entry&, std::span<const std::byte> payload)> give;
};

struct ReclaimerOptions {
  uint8_t drive = 0;
  FlashIndex* index = nullptr;
  // Blocks that have gone, which nothing finds any more.
  std::function<void(std::vector<block::BlockHeader>)> on_dropped;
  // A copy that was made while the block was removed: a restart must not find it.
  std::function<void(const FlashPlace&)> on_unwanted;
  TierBelow below;
};

// Keeps regions free ahead of whoever writes: chooses the region that was asked for least, moves
// what of it was asked for, as far as the budget allows, drops the rest and reclaims it.
// One-thread (the drive's). Life: construct, tick, destroy; callbacks of the log come until the log
// is destroyed. Limits: kMovesMax blocks under way.
class Reclaimer {
 public:
  // Free regions that it works towards: one in so many, two at least where there is room for that.
  static constexpr uint32_t kFreeShare = 64;
  static constexpr uint32_t kFreeMax = 16;
  // Of the bytes that are written, how much may be written again. Keeps our own write amplification
  // at 1.04, as far as moves go.
  static constexpr uint64_t kMoveShare = 25;
  static constexpr uint32_t kMovesMax = 4;

  Reclaimer(RegionLog& log, ReclaimerOptions options);
  Reclaimer(const Reclaimer&) = delete;
  Reclaimer& operator=(const Reclaimer&) = delete;

  // Begins or goes on; returns whether it did anything.
  bool tick();
  // So many bytes of blocks were put: earns the budget.
  void on_put(uint64_t bytes);

  bool is_idle() const { return !x_victim; }
  uint64_t moved() const { return x_moved; }
  uint64_t dropped() const { return x_dropped; }

 private:
  bool begin();
  std::optional<uint32_t> choose() const;
  void sort_out(std::span<const Entry> entries);
  void drop(const Entry& entry);
  FlashPlace place_of(const Entry& entry) const;
  struct Rescue {
    Entry entry;
    bool is_leaving = false;  // to the tier below, as it was asked for but cannot stay
  };
  void move(const Rescue& rescue);
  void give_below(const Entry& entry, const std::shared_ptr<io::PageBuffer>& payload);
  void write_again(const Entry& entry, const std::shared_ptr<io::PageBuffer>& payload);
  void give_up(const Entry& entry);
  void finish();
  bool leave();
  void tell_dropped();

  RegionLog& x_log;
  const ReclaimerOptions x_options;
  const uint32_t x_free_wanted;
  std::optional<uint32_t> x_victim;
  bool x_is_listed = false;
  bool x_is_trimming = false;
  std::vector<Rescue> x_to_move;
  uint32_t x_moves = 0;  // under way
  std::vector<block::BlockHeader> x_gone;
  uint64_t x_budget = 0;  // bytes that may be written again
  uint64_t x_moved = 0;
  uint64_t x_dropped = 0;
};

}  // namespace tarn::flash
