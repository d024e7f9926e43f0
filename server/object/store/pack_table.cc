#include "server/object/store/pack_table.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace tarn::object {

std::optional<uint32_t> PackTable::add(Pack pack) {
  const MutexLock lock(x_mutex);
  TARN_CHECK(pack.number != 0);
  uint32_t place = 0;
  if (!x_free.empty()) {
    place = x_free.back();
    x_free.pop_back();
  } else if (x_packs.size() < x_places_max) {
    place = static_cast<uint32_t>(x_packs.size());
    x_packs.emplace_back();
  } else {
    return std::nullopt;
  }
  x_bytes += pack.bytes;
  x_last_number = std::max(x_last_number, pack.number);
  x_packs[place] = std::move(pack);
  return place;
}

void PackTable::remove(uint32_t place) {
  const MutexLock lock(x_mutex);
  TARN_CHECK(place < x_packs.size() && x_packs[place].number != 0);
  x_bytes -= x_packs[place].bytes;
  x_packs[place] = Pack{};
  x_free.push_back(place);
}

Pack PackTable::at(uint32_t place) const {
  const MutexLock lock(x_mutex);
  if (place >= x_packs.size()) return {};
  const Pack& pack = x_packs[place];
  Pack told;
  told.number = pack.number;
  told.bytes = pack.bytes;
  told.payload_bytes = pack.payload_bytes;
  told.has_notes = pack.has_notes;
  told.is_noted = pack.is_noted;
  told.is_leaving = pack.is_leaving;
  return told;
}

std::vector<uint32_t> PackTable::by_age() const {
  const MutexLock lock(x_mutex);
  std::vector<std::pair<uint64_t, uint32_t>> numbered;
  for (uint32_t place = 0; place < x_packs.size(); ++place)
    if (x_packs[place].number != 0 && !x_packs[place].is_leaving)
      numbered.emplace_back(x_packs[place].number, place);
  std::ranges::sort(numbered);
  std::vector<uint32_t> places;
  for (const auto& [number, place] : numbered)
    places.push_back(place);
  return places;
}

uint64_t PackTable::next_number(int64_t unix_ms) {
  const MutexLock lock(x_mutex);
  x_last_number = std::max(x_last_number + 1, static_cast<uint64_t>(std::max<int64_t>(unix_ms, 1)));
  return x_last_number;
}

void PackTable::know(uint64_t number) {
  const MutexLock lock(x_mutex);
  x_last_number = std::max(x_last_number, number);
}

bool PackTable::mark_leaving(uint32_t place) {
  const MutexLock lock(x_mutex);
  if (place >= x_packs.size() || x_packs[place].number == 0) return false;
  return !std::exchange(x_packs[place].is_leaving, true);
}

void PackTable::unmark_leaving(uint32_t place) {
  const MutexLock lock(x_mutex);
  x_packs[place].is_leaving = false;
}

void PackTable::note_removal(uint32_t place, uint32_t page) {
  const MutexLock lock(x_mutex);
  if (place >= x_packs.size() || x_packs[place].number == 0) return;
  Pack& pack = x_packs[place];
  pack.gone.push_back(page);
  pack.has_notes = true;
  pack.is_noted = false;
}

std::optional<PackTable::Notes> PackTable::take_notes() {
  const MutexLock lock(x_mutex);
  for (uint32_t place = 0; place < x_packs.size(); ++place) {
    Pack& pack = x_packs[place];
    if (pack.number == 0 || pack.is_noted || pack.is_leaving) continue;
    pack.is_noted = true;
    return Notes{place, pack.number, pack.gone};
  }
  return std::nullopt;
}

void PackTable::give_back_notes(const Notes& notes) {
  const MutexLock lock(x_mutex);
  Pack& pack = x_packs[notes.place];
  if (pack.number == notes.number) pack.is_noted = false;
}

uint32_t PackTable::unnoted() const {
  const MutexLock lock(x_mutex);
  return static_cast<uint32_t>(std::ranges::count_if(
      x_packs, [](const Pack& pack) { return pack.number != 0 && !pack.is_noted; }));
}

uint64_t PackTable::bytes() const {
  const MutexLock lock(x_mutex);
  return x_bytes;
}

uint32_t PackTable::packs() const {
  const MutexLock lock(x_mutex);
  return static_cast<uint32_t>(x_packs.size() - x_free.size());
}

bool PackTable::is_full() const {
  const MutexLock lock(x_mutex);
  return x_free.empty() && x_packs.size() >= x_places_max;
}

}  // namespace tarn::object
