#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <span>

namespace tarn {

// Keys that find_rows looks for at a time.
inline constexpr size_t kFindRow = 32;

// A key's hash in place of the key: what a look-up by it would compare is fetched, and not found.
template <typename Key>
struct FetchOf {
  size_t hash = 0;
};

// Hash and equality for the tables that find_rows goes through.
template <typename Key>
struct RowHash {
  using is_transparent = void;
  size_t operator()(const Key& key) const { return std::hash<Key>{}(key); }
  size_t operator()(const FetchOf<Key>& fetch) const { return fetch.hash; }
};

template <typename Key>
struct RowEqual {
  using is_transparent = void;
  bool operator()(const Key& a, const Key& b) const { return a == b; }
  bool operator()(const Key& there, const FetchOf<Key>&) const {
    const auto* const entry = reinterpret_cast<const std::byte*>(&there);
    __builtin_prefetch(entry);
    __builtin_prefetch(entry + 64);
    return false;
  }
};

// Looks for many keys in an absl::flat_hash_map with the hash and the equality from above, and
// calls found(index of the key, iterator) for each, in their order; it must not change the table.
// One key by itself is little but waiting for two lines of memory, one after the other: here those
// of a row of keys are on their way together.
template <typename Map, typename Key, typename Found>
void find_rows(Map& map, std::span<const Key> keys, Found found) {
  std::array<size_t, kFindRow> hashes;
  for (size_t first = 0; first < keys.size(); first += kFindRow) {
    const auto row = keys.subspan(first, std::min(kFindRow, keys.size() - first));
    for (size_t i = 0; i < row.size(); ++i) {
      hashes[i] = RowHash<Key>{}(row[i]);
      map.prefetch(FetchOf<Key>{hashes[i]});
    }
    for (size_t i = 0; i < row.size(); ++i)
      (void)map.find(FetchOf<Key>{hashes[i]}, hashes[i]);
    for (size_t i = 0; i < row.size(); ++i)
      found(first + i, map.find(row[i], hashes[i]));
  }
}

}  // namespace tarn
