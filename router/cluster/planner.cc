#include "router/cluster/planner.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "common/base/check.h"
#include "common/ring/slots.h"

namespace tarn::cluster {
namespace {

using ring::Member;
using ring::MemberState;

// A state in the making; copies what it starts from only when something is to change.
class Draft {
 public:
  explicit Draft(const member::ClusterState& from) : x_from(from) {}

  const member::ClusterState& now() const { return x_next ? *x_next : x_from; }
  member::ClusterState& edit(const std::string& words) {
    if (!x_next) x_next = x_from;
    if (!words.empty()) x_words += (x_words.empty() ? "" : ", ") + words;
    return *x_next;
  }
  bool is_changed() const { return x_next.has_value(); }

  Member& edit_member(size_t index, const std::string& words) {
    TARN_CHECK(index < now().config.members.size());
    return edit(words).config.members[index];
  }

  Change finish() && {
    TARN_CHECK(x_next.has_value());
    ++x_next->config.epoch.value;
    return {std::move(*x_next), std::move(x_words)};
  }

 private:
  const member::ClusterState& x_from;
  std::optional<member::ClusterState> x_next;
  std::string x_words;
};

// The heartbeats of one look, and what they mean at that moment.
class Ears {
 public:
  Ears(const std::vector<HeardServer>& heard, Instant timers_from, Instant now)
      : x_timers_from(timers_from), x_now(now) {
    for (const HeardServer& server : heard)
      x_by_name[server.beat.name] = &server;
  }

  // Heard of within `span`, or null.
  const HeardServer* fresh(const std::string& name, Millis span) const {
    const auto found = x_by_name.find(name);
    if (found == x_by_name.end()) return nullptr;
    return x_now - found->second->last_heard < span ? found->second : nullptr;
  }
  bool is_silent(const std::string& name, Millis span) const {
    return x_now - x_timers_from >= span && fresh(name, span) == nullptr;
  }

 private:
  std::map<std::string_view, const HeardServer*> x_by_name;
  Instant x_timers_from;
  Instant x_now;
};

Member member_of(const ServerBeat& beat, ServerId id) {
  Member member;
  member.id = id;
  member.name = beat.name;
  member.control_endpoint = beat.control_endpoint;
  member.incarnation = beat.incarnation;
  member.weight = beat.weight;
  member.domain = beat.domain;
  member.lanes = beat.lanes;
  member.state = beat.draining ? MemberState::draining : MemberState::up;
  return member;
}

// It answers, and nothing of it has been lost.
void hear_known(Draft& draft, size_t index, const ServerBeat& beat) {
  const Member& before = draft.now().config.members[index];
  Member wanted = member_of(beat, before.id);
  // An operator's drain holds until the server has been down.
  if (before.state == MemberState::draining) wanted.state = MemberState::draining;
  if (wanted == before) return;
  const char* what = before.state != wanted.state && wanted.state == MemberState::up ? " is back"
                     : before.state != wanted.state                                  ? " drains"
                                                                                     : " has moved";
  draft.edit_member(index, beat.name + what) = wanted;
}

// It answers under another incarnation: it has nothing of what it had.
void hear_wiped(Draft& draft, size_t index, const ServerBeat& beat) {
  const ServerId id = draft.now().config.members[index].id;
  auto& config = draft.edit(beat.name + " is back without its data").config;
  config.slots = ring::forget_incarnation(config, id);
  config.members[index] = member_of(beat, id);
}

void hear_members(Draft& draft, const Ears& ears, Millis dead_after) {
  const size_t count = draft.now().config.members.size();
  for (size_t i = 0; i < count; ++i) {
    const Member& member = draft.now().config.members[i];
    const std::string name = member.name;
    const HeardServer* const heard = ears.fresh(name, dead_after);
    if (heard != nullptr && heard->beat.incarnation != member.incarnation) {
      hear_wiped(draft, i, heard->beat);
    } else if (heard != nullptr) {
      hear_known(draft, i, heard->beat);
    } else if (member.state != MemberState::down && ears.is_silent(name, dead_after)) {
      draft.edit_member(i, name + " is down").state = MemberState::down;
    }
  }
}

bool has_slots(const ring::ClusterConfig& config, ServerId id) {
  const auto names = [id](const std::vector<ServerId>& servers) {
    return std::find(servers.begin(), servers.end(), id) != servers.end();
  };
  return std::any_of(config.slots.begin(), config.slots.end(), [&](const auto& slot) {
    return slot.primary == id || names(slot.synced) || names(slot.learners);
  });
}

// Forgets members that are down and hold nothing, where newcomers need their seats.
void make_room(Draft& draft, size_t newcomers) {
  if (draft.now().config.members.size() + newcomers <= ring::kMembersMax) return;
  auto& config = draft.edit("").config;
  std::erase_if(config.members, [&config](const Member& member) {
    return member.state == MemberState::down && !has_slots(config, member.id);
  });
}

std::vector<const HeardServer*> newcomers(const Draft& draft, const Ears& ears,
                                          const std::vector<HeardServer>& heard, Millis span) {
  std::vector<const HeardServer*> out;
  for (const HeardServer& server : heard) {
    if (ears.fresh(server.beat.name, span) == nullptr) continue;
    const auto& members = draft.now().config.members;
    const bool is_known = std::any_of(members.begin(), members.end(), [&](const Member& member) {
      return member.name == server.beat.name;
    });
    if (!is_known) out.push_back(&server);
  }
  return out;
}

void join(Draft& draft, const std::vector<const HeardServer*>& servers) {
  make_room(draft, servers.size());
  for (const HeardServer* server : servers) {
    if (draft.now().config.members.size() >= ring::kMembersMax) return;
    auto& state = draft.edit(server->beat.name + " joins");
    state.config.members.push_back(member_of(server->beat, ServerId{state.next_server_id++}));
  }
}

// Gives each slot who it should have after a change of the members.
void settle_slots(Draft& draft) {
  auto& config = draft.edit("").config;
  for (const Member& member : config.members) {
    if (member.state == MemberState::down) config.slots = ring::remove_member(config, member.id);
  }
  config.slots = ring::assign_slots(config);
  config.slots = ring::balance_primaries(config);
  config.slots = ring::add_learners(config, {.per_server_max = kSessionSlots, .rebalance = true});
}

struct Promotion {
  SlotId slot;
  ServerId id;
};

// What learners say that they hold whole, as far as it was said under this config.
std::vector<Promotion> promotions(const ring::ClusterConfig& config, const Ears& ears,
                                  Millis dead_after) {
  std::vector<Promotion> out;
  for (const Member& member : config.members) {
    const HeardServer* const heard = ears.fresh(member.name, dead_after);
    if (heard == nullptr || heard->beat.epoch != config.epoch) continue;
    for (const SlotId slot : heard->beat.caught_up_slots) {
      if (slot.value >= config.slots.size()) continue;
      const auto& learners = config.slots[slot.value].learners;
      if (std::find(learners.begin(), learners.end(), member.id) != learners.end())
        out.push_back({slot, member.id});
    }
  }
  return out;
}

void promote(Draft& draft, const std::vector<Promotion>& promotions) {
  auto& config = draft.edit(std::to_string(promotions.size()) + " slots have a new copy").config;
  for (const Promotion& promotion : promotions) {
    auto table = ring::promote_learner(config, promotion.slot, promotion.id);
    if (table) config.slots = std::move(table).value();
  }
  config.slots = ring::balance_primaries(config);
}

bool oldest_has_settled(const std::vector<const HeardServer*>& servers, Instant before) {
  return std::any_of(servers.begin(), servers.end(),
                     [before](const HeardServer* server) { return server->first_heard <= before; });
}

}  // namespace

void Planner::restart_timers(Instant now) {
  x_timers_from = now;
  x_looked = now;
}

std::optional<Change> Planner::plan(const member::ClusterState& state,
                                    const std::vector<HeardServer>& heard, Instant now) {
  TARN_CHECK(now >= x_looked);
  if (now - x_looked >= x_timing.dead_after) restart_timers(now);
  x_looked = now;
  Draft draft(state);
  const Ears ears(heard, x_timers_from, now);
  hear_members(draft, ears, x_timing.dead_after);
  const auto fresh = newcomers(draft, ears, heard, x_timing.dead_after);
  if (oldest_has_settled(fresh, now - x_timing.settle)) join(draft, fresh);
  if (draft.is_changed()) {
    settle_slots(draft);
    return std::move(draft).finish();
  }
  const auto ready = promotions(state.config, ears, x_timing.dead_after);
  if (ready.empty()) return std::nullopt;
  if (!x_caught || x_caught->epoch != state.config.epoch) x_caught = {state.config.epoch, now};
  if (now - x_caught->since < x_timing.promotion_batch) return std::nullopt;
  promote(draft, ready);
  if (draft.now() == state) return std::nullopt;
  return std::move(draft).finish();
}

}  // namespace tarn::cluster
