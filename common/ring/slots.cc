#include "common/ring/slots.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <string>
#include <unordered_map>

#include "common/base/check.h"

namespace tarn::ring {
namespace {

using Servers = std::vector<ServerId>;

bool contains(const Servers& servers, ServerId id) {
  return std::find(servers.begin(), servers.end(), id) != servers.end();
}

void erase(Servers& servers, ServerId id) {
  servers.erase(std::remove(servers.begin(), servers.end(), id), servers.end());
}

bool may_hold_slots(const Member& member) {
  return member.state == MemberState::up && member.weight > 0;
}

bool answers(const Member& member) {
  return member.state == MemberState::up || member.state == MemberState::draining;
}

// Spreads equal choices, so that the slots of one server have their other copies everywhere.
uint64_t spread(size_t slot, ServerId id) {
  const std::array<uint64_t, 2> key = {slot, id.value};
  return XXH3_64bits(key.data(), sizeof(key));
}

// The members of a config by id, with the load that a table in the making gives them.
class Board {
 public:
  explicit Board(const ClusterConfig& config) {
    for (const Member& member : config.members)
      x_seats[member.id] = {&member, domain_of(member), 0, 0, 0};
    for (const SlotEntry& slot : config.slots) {
      if (slot.synced.empty()) continue;
      ++seat(slot.primary).primaries;
      for (const ServerId id : slot.synced)
        ++seat(id).copies;
      for (const ServerId id : slot.learners)
        add_learner(id);
    }
  }

  bool is_up(ServerId id) const { return may_hold_slots(*seat(id).member); }
  bool is_answering(ServerId id) const { return answers(*seat(id).member); }
  const std::string& domain(ServerId id) const { return seat(id).domain; }
  double primary_load(ServerId id) const { return per_weight(id, seat(id).primaries); }
  double copy_load(ServerId id) const { return per_weight(id, seat(id).copies); }
  uint32_t learners(ServerId id) const { return seat(id).learners; }

  void add_primary(ServerId id) { ++seat(id).primaries; }
  void drop_primary(ServerId id) { --seat(id).primaries; }
  void add_copy(ServerId id) { ++seat(id).copies; }
  void drop_copy(ServerId id) { --seat(id).copies; }
  void add_learner(ServerId id) {
    ++seat(id).copies;
    ++seat(id).learners;
  }
  void drop_learner(ServerId id) {
    --seat(id).copies;
    --seat(id).learners;
  }

 private:
  struct Seat {
    const Member* member = nullptr;
    std::string domain;
    uint32_t primaries = 0;
    uint32_t copies = 0;  // synced and learners
    uint32_t learners = 0;
  };

  double per_weight(ServerId id, uint32_t count) const {
    return count / static_cast<double>(std::max(1u, seat(id).member->weight));
  }
  Seat& seat(ServerId id) {
    const auto found = x_seats.find(id);
    TARN_CHECK(found != x_seats.end());
    return found->second;
  }
  const Seat& seat(ServerId id) const { return const_cast<Board*>(this)->seat(id); }

  std::unordered_map<ServerId, Seat> x_seats;
};

Servers up_members(const ClusterConfig& config) {
  Servers up;
  for (const Member& member : config.members) {
    if (may_hold_slots(member)) up.push_back(member.id);
  }
  std::sort(up.begin(), up.end());
  return up;
}

bool shares_domain(const Board& board, const Servers& servers, ServerId id) {
  return std::any_of(servers.begin(), servers.end(), [&](ServerId other) {
    return other != id && board.domain(other) == board.domain(id);
  });
}

size_t domain_count(const Board& board, const Servers& servers) {
  std::vector<std::string> domains;
  for (const ServerId id : servers)
    domains.push_back(board.domain(id));
  std::sort(domains.begin(), domains.end());
  const auto end = std::unique(domains.begin(), domains.end());
  return static_cast<size_t>(end - domains.begin());
}

// The least loaded of `candidates` to stand beside `held`, in a domain that `held` has not where
// there is one; kNoServer when there is no candidate.
ServerId pick_copy(const Board& board, size_t slot, const Servers& candidates,
                   const Servers& held) {
  ServerId best = kNoServer;
  const auto rank = [&](ServerId id) {
    return std::tuple(shares_domain(board, held, id), board.copy_load(id), spread(slot, id));
  };
  for (const ServerId id : candidates) {
    if (contains(held, id)) continue;
    if (best == kNoServer || rank(id) < rank(best)) best = id;
  }
  return best;
}

// The member of `servers` with the fewest primaries, those that are up first, then those that
// answer.
ServerId pick_primary(const Board& board, size_t slot, const Servers& servers) {
  TARN_CHECK(!servers.empty());
  const auto rank = [&](ServerId id) {
    return std::tuple(!board.is_up(id), !board.is_answering(id), board.primary_load(id),
                      spread(slot, id));
  };
  return *std::min_element(servers.begin(), servers.end(),
                           [&](ServerId a, ServerId b) { return rank(a) < rank(b); });
}

bool was_assigned(const SlotEntry& slot) {
  return slot.primary != kNoServer;
}

// Takes a server out of a slot that has another synced member.
void leave_slot(Board& board, size_t slot_index, SlotEntry& slot, ServerId id) {
  erase(slot.synced, id);
  if (slot.primary != id) return;
  slot.primary = pick_primary(board, slot_index, slot.synced);
  board.add_primary(slot.primary);
}

bool another_answers(const Board& board, const SlotEntry& slot, ServerId id) {
  return std::any_of(slot.synced.begin(), slot.synced.end(),
                     [&](ServerId other) { return other != id && board.is_answering(other); });
}

// Moves the primary of one slot if that makes it up, or evens the primaries out.
bool shift_primary(Board& board, size_t slot_index, SlotEntry& slot) {
  Servers others = slot.synced;
  erase(others, slot.primary);
  if (others.empty()) return false;
  const ServerId best = pick_primary(board, slot_index, others);
  if (!board.is_up(best)) return false;
  const double before = board.primary_load(slot.primary);
  board.add_primary(best);
  if (board.is_up(slot.primary) && board.primary_load(best) >= before) {
    board.drop_primary(best);
    return false;
  }
  board.drop_primary(slot.primary);
  slot.primary = best;
  return true;
}

Servers up_among(const Board& board, const Servers& servers) {
  Servers up;
  for (const ServerId id : servers) {
    if (board.is_up(id)) up.push_back(id);
  }
  return up;
}

Servers with_room(const Board& board, const Servers& servers, uint32_t per_server_max) {
  Servers out;
  for (const ServerId id : servers) {
    if (board.learners(id) < per_server_max) out.push_back(id);
  }
  return out;
}

// One slot of a table in the making, beside what its members have to do in the others.
struct Draft {
  Board& board;
  size_t slot_index;
  SlotEntry& slot;
};

// Adds the learners that the slot lacks: copies first, then the domains that they should span.
void repair_slot(const Draft& draft, const ClusterConfig& config, uint32_t per_server_max) {
  auto& [board, slot_index, slot] = draft;
  const Servers up = up_members(config);
  const uint32_t target = synced_target(config);
  const size_t domains = std::min<size_t>(target, domain_count(board, up));
  Servers held = up_among(board, slot.synced);
  held.insert(held.end(), slot.learners.begin(), slot.learners.end());
  while (held.size() < target || domain_count(board, held) < domains) {
    const Servers candidates = with_room(board, up, per_server_max);
    const ServerId id = pick_copy(board, slot_index, candidates, held);
    const bool enough = held.size() >= target;
    if (id == kNoServer || (enough && shares_domain(board, held, id))) return;
    slot.learners.push_back(id);
    board.add_learner(id);
    held.push_back(id);
  }
}

// Makes another server a learner of the slot in place of `heavy` if that evens the copies out and
// the slot's copies span as many domains as before.
bool relieve(const Draft& draft, ServerId heavy, const Servers& candidates) {
  auto& [board, slot_index, slot] = draft;
  Servers rest = slot.synced;
  erase(rest, heavy);
  Servers others = candidates;
  erase(others, heavy);
  const ServerId light = pick_copy(board, slot_index, others, rest);
  if (light == kNoServer) return false;
  if (shares_domain(board, rest, light) && !shares_domain(board, rest, heavy)) return false;
  const double before = board.copy_load(heavy);
  board.add_learner(light);
  if (board.copy_load(light) >= before) {
    board.drop_learner(light);
    return false;
  }
  slot.learners.push_back(light);
  board.drop_copy(heavy);
  return true;
}

// Offers a settled slot to a server that would still have less than the one that it relieves.
void rebalance_slot(const Draft& draft, const Servers& candidates) {
  const Board& board = draft.board;
  if (!draft.slot.learners.empty()) return;
  Servers heaviest_first = draft.slot.synced;
  std::sort(heaviest_first.begin(), heaviest_first.end(), [&](ServerId a, ServerId b) {
    return std::tuple(board.copy_load(a), a) > std::tuple(board.copy_load(b), b);
  });
  for (const ServerId heavy : heaviest_first) {
    if (relieve(draft, heavy, candidates)) return;
  }
}

// The synced member to let go of when a slot has more than its target; never `newest`.
ServerId pick_surplus(const Board& board, const SlotEntry& slot, ServerId newest) {
  ServerId worst = kNoServer;
  const auto rank = [&](ServerId id) {
    return std::tuple(!board.is_up(id), shares_domain(board, slot.synced, id), board.copy_load(id),
                      id);
  };
  for (const ServerId id : slot.synced) {
    if (id == newest) continue;
    if (worst == kNoServer || rank(id) > rank(worst)) worst = id;
  }
  return worst;
}

}  // namespace

uint32_t synced_target(const ClusterConfig& config) {
  return std::min(kSyncedTarget, static_cast<uint32_t>(up_members(config).size()));
}

bool slot_is_available(const ClusterConfig& config, SlotId slot) {
  TARN_CHECK(slot.value < config.slots.size());
  const SlotEntry& entry = config.slots[slot.value];
  if (!contains(entry.synced, entry.primary)) return false;
  const Member* primary = find_member(config, entry.primary);
  return primary != nullptr && answers(*primary);
}

std::string_view slot_state_name(SlotState state) {
  switch (state) {
    case SlotState::unused:
      return "unused";
    case SlotState::ok:
      return "ok";
    case SlotState::waiting:
      return "waiting";
    case SlotState::lost:
      break;
  }
  return "lost";
}

SlotState slot_state(const ClusterConfig& config, SlotId slot) {
  TARN_CHECK(slot.value < config.slots.size());
  const SlotEntry& entry = config.slots[slot.value];
  if (!was_assigned(entry)) return SlotState::unused;
  if (entry.synced.empty()) return SlotState::lost;
  const bool is_held =
      std::any_of(entry.synced.begin(), entry.synced.end(), [&config](ServerId id) {
        const Member* const member = find_member(config, id);
        return member != nullptr && answers(*member);
      });
  return is_held ? SlotState::ok : SlotState::waiting;
}

Result<SlotTable> abandon_slots(const ClusterConfig& config, const std::vector<SlotId>& slots,
                                Epoch epoch, const AbandonOptions& options) {
  TARN_CHECK(epoch > config.epoch);
  if (slots.empty()) return invalid_argument("slots: none is named");
  ClusterConfig next = config;
  for (const SlotId slot : slots) {
    const std::string name = "slot " + std::to_string(slot.value);
    if (slot.value >= config.slots.size()) {
      return invalid_argument("slots: there is no " + name + "; they are 0 to " +
                              std::to_string(config.slots.size() - 1));
    }
    const SlotState state = slot_state(config, slot);
    const bool may_return = state == SlotState::waiting && !options.even_waiting;
    if (may_return) {
      return conflict(name +
                      " is not lost: it waits for a server that is down and may still have "
                      "its log; start that server, or say that it will never be back");
    }
    if (state == SlotState::ok || state == SlotState::unused) {
      return conflict(name + " is not lost: it is " + std::string(slot_state_name(state)));
    }
    next.slots[slot.value] = SlotEntry{kNoServer, {}, {}, epoch};
  }
  return assign_slots(next);
}

SlotTable assign_slots(const ClusterConfig& config) {
  SlotTable table = config.slots;
  const Servers up = up_members(config);
  if (up.empty()) return table;
  Board board(config);
  for (size_t i = 0; i < table.size(); ++i) {
    SlotEntry& slot = table[i];
    if (was_assigned(slot)) continue;
    slot.primary = pick_primary(board, i, up);
    slot.synced = {slot.primary};
    board.add_primary(slot.primary);
    board.add_copy(slot.primary);
    while (slot.synced.size() < synced_target(config)) {
      const ServerId id = pick_copy(board, i, up, slot.synced);
      TARN_CHECK(id != kNoServer);
      slot.synced.push_back(id);
      board.add_copy(id);
    }
  }
  return table;
}

SlotTable remove_member(const ClusterConfig& config, ServerId id) {
  SlotTable table = config.slots;
  Board board(config);
  for (size_t i = 0; i < table.size(); ++i) {
    SlotEntry& slot = table[i];
    erase(slot.learners, id);
    if (contains(slot.synced, id) && another_answers(board, slot, id))
      leave_slot(board, i, slot, id);
  }
  return table;
}

SlotTable forget_incarnation(const ClusterConfig& config, ServerId id) {
  SlotTable table = config.slots;
  Board board(config);
  for (size_t i = 0; i < table.size(); ++i) {
    SlotEntry& slot = table[i];
    erase(slot.learners, id);
    if (!contains(slot.synced, id)) continue;
    if (slot.synced.size() > 1) {
      leave_slot(board, i, slot, id);
    } else {
      slot.synced.clear();
    }
  }
  return table;
}

SlotTable balance_primaries(const ClusterConfig& config, uint32_t moves_max) {
  // Each pass can only even things out further; two do nearly all of it.
  constexpr int kPasses = 4;
  SlotTable table = config.slots;
  Board board(config);
  uint32_t moves = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    for (size_t i = 0; i < table.size() && moves < moves_max; ++i) {
      if (!slot_is_available(config, SlotId{static_cast<uint32_t>(i)})) continue;
      if (shift_primary(board, i, table[i])) ++moves;
    }
  }
  return table;
}

SlotTable add_learners(const ClusterConfig& config, const LearnerOptions& options) {
  SlotTable table = config.slots;
  Board board(config);
  for (size_t i = 0; i < table.size(); ++i) {
    table[i].learners = up_among(board, table[i].learners);
    // Without a primary that answers there is nobody to learn from.
    if (!slot_is_available(config, SlotId{static_cast<uint32_t>(i)})) continue;
    repair_slot({board, i, table[i]}, config, options.per_server_max);
  }
  if (!options.rebalance) return table;
  for (size_t i = 0; i < table.size(); ++i) {
    if (!slot_is_available(config, SlotId{static_cast<uint32_t>(i)})) continue;
    const Servers candidates = with_room(board, up_members(config), options.per_server_max);
    rebalance_slot({board, i, table[i]}, candidates);
  }
  return table;
}

Result<SlotTable> promote_learner(const ClusterConfig& config, SlotId slot_id, ServerId id) {
  if (slot_id.value >= config.slots.size() || !contains(config.slots[slot_id.value].learners, id))
    return not_found("server " + std::to_string(id.value) + " is no learner of slot " +
                     std::to_string(slot_id.value));
  SlotTable table = config.slots;
  SlotEntry& slot = table[slot_id.value];
  Board board(config);
  if (slot.synced.empty()) return unavailable("slot: no synced member to learn from");
  if (!board.is_up(id)) return unavailable("slot: the learner is not up");
  erase(slot.learners, id);
  slot.synced.push_back(id);
  while (slot.synced.size() > 1) {
    const size_t up = up_among(board, slot.synced).size();
    const ServerId surplus = pick_surplus(board, slot, id);
    const size_t up_after = up - (board.is_up(surplus) ? 1 : 0);
    if (slot.synced.size() <= synced_target(config) && board.is_up(surplus)) break;
    if (up_after < synced_target(config)) break;
    leave_slot(board, slot_id.value, slot, surplus);
  }
  return table;
}

}  // namespace tarn::ring
