#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/base/mutex.h"

namespace tarn::object {

// One object of blocks. Value type.
struct Pack {
  uint64_t number = 0;  // of its name; 0: the place is free
  uint64_t bytes = 0;
  uint64_t payload_bytes = 0;  // when it was written
  std::vector<uint32_t> gone;  // pages of removed blocks
  bool has_notes = false;      // an object with them is there, or will be
  bool is_noted = true;        // all of `gone` stands there
  bool is_leaving = false;     // it is being deleted
};

// The packs of a server, by the place that the index calls them by. Thread-safe.
class PackTable {
 public:
  explicit PackTable(uint32_t places_max) : x_places_max(places_max) {}

  // Returns: its place; nothing where there is none left.
  std::optional<uint32_t> add(Pack pack);
  void remove(uint32_t place);
  Pack at(uint32_t place) const;  // `gone` is left out
  // Places of packs that stay, the oldest first.
  std::vector<uint32_t> by_age() const;

  // The next number: never one that was there, rises with time.
  uint64_t next_number(int64_t unix_ms);
  // A number of a name that was found.
  void know(uint64_t number);

  bool mark_leaving(uint32_t place);  // false: it is so already
  void unmark_leaving(uint32_t place);
  void note_removal(uint32_t place, uint32_t page);
  // A pack whose notes are to be written, which then count as written; those that could not be are
  // given back.
  struct Notes {
    uint32_t place = 0;
    uint64_t number = 0;
    std::vector<uint32_t> pages;
  };
  std::optional<Notes> take_notes();
  void give_back_notes(const Notes& notes);

  // Packs whose removals do not all stand in the bucket yet.
  uint32_t unnoted() const;
  uint64_t bytes() const;
  uint32_t packs() const;
  bool is_full() const;

 private:
  const uint32_t x_places_max;
  mutable Mutex x_mutex;
  std::vector<Pack> x_packs TARN_GUARDED_BY(x_mutex);
  std::vector<uint32_t> x_free TARN_GUARDED_BY(x_mutex);
  uint64_t x_bytes TARN_GUARDED_BY(x_mutex) = 0;
  uint64_t x_last_number TARN_GUARDED_BY(x_mutex) = 0;
};

}  // namespace tarn::object
