#include "sdk/cpp/src/exists_batch.h"

#include <algorithm>

#include "common/base/check.h"

namespace tarn::sdk {

void ExistsBatch::add(std::span<const block::BlockHash> hashes) {
  TARN_CHECK(x_keys.empty());
  const size_t shards = x_space.spec.tensor_parallel;
  const auto places = x_space.chains.find(hashes);
  x_question_count = hashes.size() * shards;
  x_keys.reserve(x_question_count);
  x_questions.reserve(x_question_count);
  for (size_t question = 0; question < x_question_count; ++question) {
    const size_t i = question / shards;
    if (places[i]) {
      ask(hashes[i], question, {places[i]->place.anchor, {}});
    } else {
      ask_everyone(hashes[i], question);
    }
  }
}

void ExistsBatch::ask(const block::BlockHash& hash, size_t question, const To& to) {
  const bool joins = !x_items.empty() && x_items.back().keys.count < kRunKeysMax &&
                     x_items.back().only == to.only && x_items.back().place.anchor == to.anchor;
  if (!joins) {
    FlightItem& item = x_items.emplace_back();
    item.index = static_cast<uint32_t>(x_items.size() - 1);
    item.place = {to.anchor, 0};
    item.only = to.only;
    item.keys.first = static_cast<uint32_t>(x_keys.size());
    x_firsts.push_back(item.keys.first);
  }
  ++x_items.back().keys.count;
  const auto shard = static_cast<uint32_t>(question % x_space.spec.tensor_parallel);
  x_keys.push_back({Shard{shard}, hash});
  x_questions.push_back(static_cast<uint32_t>(question));
}

void ExistsBatch::ask_everyone(const block::BlockHash& hash, size_t question) {
  for (const ring::Member& member : x_view.config.members) {
    const bool may_hold =
        member.state == ring::MemberState::up || member.state == ring::MemberState::draining;
    if (may_hold) ask(hash, question, {hash, member.id});
  }
}

Expected<std::vector<bool>> ExistsBatch::judge(std::span<const Outcome> answers,
                                               std::span<const BlockOutcome> items) const {
  TARN_CHECK(answers.size() == x_questions.size() && items.size() == x_firsts.size());
  const auto best = best_answers(answers);
  std::vector<bool> found(x_question_count / x_space.spec.tensor_parallel, true);
  for (size_t question = 0; question < x_question_count; ++question) {
    if (!best[question]) return Error{Outcome::unavailable, "no storage server is known"};
    const Outcome outcome = answers[*best[question]];
    if (outcome == Outcome::ok) continue;
    if (outcome != Outcome::miss) {
      // The words are the item's, where they are about the same.
      const BlockOutcome& told = item_of(*best[question], items);
      return Error{outcome, told.outcome == outcome ? told.message : ""};
    }
    found[question / x_space.spec.tensor_parallel] = false;
  }
  return found;
}

// Of each question the key whose answer counts: whoever has the block, else an error, else a miss.
std::vector<std::optional<uint32_t>> ExistsBatch::best_answers(
    std::span<const Outcome> answers) const {
  std::vector<std::optional<uint32_t>> best(x_question_count);
  for (uint32_t key = 0; key < answers.size(); ++key) {
    std::optional<uint32_t>& so_far = best[x_questions[key]];
    const bool is_better =
        !so_far || answers[key] == Outcome::ok || answers[*so_far] == Outcome::miss;
    if (is_better) so_far = key;
  }
  return best;
}

// The one that the key was asked for with.
const BlockOutcome& ExistsBatch::item_of(uint32_t key, std::span<const BlockOutcome> items) const {
  const auto behind = std::upper_bound(x_firsts.begin(), x_firsts.end(), key);
  return items[static_cast<size_t>(behind - x_firsts.begin()) - 1];
}

}  // namespace tarn::sdk
