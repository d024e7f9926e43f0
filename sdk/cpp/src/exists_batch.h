#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "sdk/cpp/src/flight.h"

namespace tarn::sdk {

// Keys that travel as one item at most.
inline constexpr uint32_t kRunKeysMax = 256;
static_assert(kRunKeysMax <= fabric::kOpItemsMax);

// One call of Space::exists: asks for every shard of every hash, the owner or, where that is not
// known, every server, and makes the caller's answer of theirs. Neighbours in the call that share
// an extent share an item. One-thread. Life: add once, take the items and the keys, judge.
class ExistsBatch {
 public:
  ExistsBatch(SpaceState& space, const View& view) : x_space(space), x_view(view) {}

  void add(std::span<const block::BlockHash> hashes);

  std::vector<FlightItem> take_items() { return std::move(x_items); }
  std::vector<wire::BlockItem> take_keys() { return std::move(x_keys); }

  // One bool for each hash, or the first error where nobody has the block. `items` are the outcomes
  // of what was taken.
  Expected<std::vector<bool>> judge(std::span<const Outcome> answers,
                                    std::span<const BlockOutcome> items) const;

 private:
  struct To {
    const block::BlockHash& anchor;
    ServerId only;
  };
  void ask(const block::BlockHash& hash, size_t question, const To& to);
  void ask_everyone(const block::BlockHash& hash, size_t question);
  std::vector<std::optional<uint32_t>> best_answers(std::span<const Outcome> answers) const;
  const BlockOutcome& item_of(uint32_t key, std::span<const BlockOutcome> items) const;

  SpaceState& x_space;
  const View& x_view;
  std::vector<FlightItem> x_items;
  std::vector<uint32_t> x_firsts;  // of each item: its first key
  std::vector<wire::BlockItem> x_keys;
  std::vector<uint32_t> x_questions;  // of each key: hash * shards + shard
  size_t x_question_count = 0;
};

}  // namespace tarn::sdk
