#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_set.h>

#include "common/base/clock.h"
#include "server/flash/region_format.h"
#include "server/io/block_device.h"
#include "server/io/drive_label.h"
#include "server/io/page_buffer.h"

namespace tarn::flash {

// A block that lies in a region and is wanted no more. Value type.
struct RemovalNote {
  uint64_t epoch = 0;  // of the region's life
  uint32_t region = 0;
  uint32_t page = 0;  // where its payload begins, in the region

  friend bool operator==(const RemovalNote&, const RemovalNote&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const RemovalNote& note) {
    return H::combine(std::move(state), note.epoch, note.region, note.page);
  }
};

struct RemovalNotesOptions {
  io::BlockDevice* device = nullptr;  // destroyed before the notes: it calls back until then
  io::DriveId drive{};                // of its label
  const Clock* clock = &system_clock();
  Nanos deadline = std::chrono::seconds(10);  // of an operation of the drive
  // The epoch of a region's latest life, 0 for none that is known: notes of earlier ones are void.
  std::function<uint64_t(uint32_t region)> epoch_of;
};

// Regions are never written again in part, so what was removed from them is noted beside the
// drive's label, that a restart does not bring it back (docs/FLASH_FORMAT.md). One-thread (the
// drive's). Life: construct, recover(), use with turn(); destroy the device, then the notes.
// Limit: kNotesMax notes of blocks whose regions are still there; one more is lost, and told.
class RemovalNotes {
 public:
  static constexpr uint64_t kNoteBytes = 16;
  static constexpr uint64_t kHeadBytes = 8;
  static constexpr size_t kNotesOfPage = (kPageBytes - kHeadBytes - 4) / kNoteBytes;
  // Beside the label and its copy.
  static constexpr size_t kPages = io::kLabelAreaBytes / kPageBytes - 2;
  static constexpr size_t kNotesMax = kPages * kNotesOfPage;

  explicit RemovalNotes(RemovalNotesOptions options) : x_options(std::move(options)) {}
  RemovalNotes(const RemovalNotes&) = delete;
  RemovalNotes& operator=(const RemovalNotes&) = delete;

  // Reads what was noted in earlier lives of the server. Blocks on the drive. A page that cannot be
  // read, or is none, has no notes. Returns: ok, unavailable (the drive does not answer).
  Status recover();

  bool holds(const RemovalNote& note) const { return x_known.contains(note); }

  // Durable a few milliseconds later, with all that come meanwhile. False: there is no room.
  bool add(const RemovalNote& note);

  // Begins to write what has come; returns 0 when there was nothing to do.
  size_t turn();
  bool is_idle() const { return !x_is_writing && (x_dirty.empty() || x_is_resting || x_is_broken); }

 private:
  struct NotePage {
    std::vector<RemovalNote> notes;
    bool is_dirty = false;
  };

  static uint64_t offset_of(size_t page);
  void encode(size_t page, Page into) const;
  void decode(size_t page, std::span<const std::byte> bytes);
  bool make_room(NotePage& page);
  void write(size_t page);
  void on_written(size_t page, const Status& outcome);

  const RemovalNotesOptions x_options;
  std::array<NotePage, kPages> x_pages;
  absl::flat_hash_set<RemovalNote> x_known;
  std::vector<size_t> x_dirty;
  size_t x_next = 0;  // page that has room, as far as is known
  bool x_is_writing = false;
  bool x_is_resting = false;  // a write has failed: the next note tries again
  bool x_is_broken = false;   // the drive takes no writes
};

}  // namespace tarn::flash
