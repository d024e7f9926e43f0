#include "common/ring/config.h"

#include <algorithm>
#include <unordered_set>

namespace tarn::ring {
namespace {

Status check_member(const Member& member) {
  const std::string at = "members[" + std::to_string(member.id.value) + "]";
  if (member.id == kNoServer) return invalid_argument(at + ".id: is 0");
  if (member.name.empty() || member.name.size() > kNameBytesMax)
    return invalid_argument(at + ".name: must have 1 to 128 bytes");
  if (member.domain.size() > kNameBytesMax)
    return invalid_argument(at + ".domain: longer than 128 bytes");
  if (member.weight > kWeightMax) return invalid_argument(at + ".weight: above 1000");
  if (member.lanes == 0 || member.lanes > kLanesMax)
    return invalid_argument(at + ".lanes: must be 1 to 1024");
  if (member.state > MemberState::down) return invalid_argument(at + ".state: unknown");
  return Status::ok();
}

Status check_members(const std::vector<Member>& members) {
  if (members.size() > kMembersMax) return invalid_argument("members: more than 1024");
  std::unordered_set<ServerId> ids;
  std::unordered_set<std::string_view> names;
  for (const Member& member : members) {
    TARN_RETURN_IF_ERROR(check_member(member));
    if (!ids.insert(member.id).second)
      return invalid_argument("members: id " + std::to_string(member.id.value) + " is there twice");
    if (!names.insert(member.name).second)
      return invalid_argument("members: name " + member.name + " is there twice");
  }
  return Status::ok();
}

Status check_slot(const SlotEntry& slot, const std::unordered_set<ServerId>& known,
                  const std::string& at) {
  std::unordered_set<ServerId> seen;
  for (const auto* list : {&slot.synced, &slot.learners}) {
    for (const ServerId id : *list) {
      if (!known.contains(id)) return invalid_argument(at + ": names an unknown server");
      if (!seen.insert(id).second) return invalid_argument(at + ": names a server twice");
    }
  }
  if (slot.synced.empty()) return Status::ok();
  if (std::find(slot.synced.begin(), slot.synced.end(), slot.primary) == slot.synced.end())
    return invalid_argument(at + ".primary: is not one of synced");
  return Status::ok();
}

Status check_slots(const ClusterConfig& config) {
  if (config.slots.size() != kSessionSlots)
    return invalid_argument("slots: " + std::to_string(config.slots.size()) + ", must be 1024");
  std::unordered_set<ServerId> known;
  for (const Member& member : config.members)
    known.insert(member.id);
  for (size_t i = 0; i < config.slots.size(); ++i)
    TARN_RETURN_IF_ERROR(check_slot(config.slots[i], known, "slots[" + std::to_string(i) + "]"));
  return Status::ok();
}

Status check_ticket_keys(const std::vector<TicketKey>& keys) {
  if (keys.size() > kTicketKeysMax) return invalid_argument("ticket_keys: more than 8");
  std::unordered_set<uint32_t> ids;
  for (const TicketKey& key : keys) {
    if (key.secret.size() != kTicketSecretBytes)
      return invalid_argument("ticket_keys: a secret that has not 32 bytes");
    if (!ids.insert(key.id).second) return invalid_argument("ticket_keys: an id is there twice");
  }
  return Status::ok();
}

}  // namespace

std::string_view member_state_name(MemberState state) {
  switch (state) {
    case MemberState::joining:
      return "joining";
    case MemberState::up:
      return "up";
    case MemberState::draining:
      return "draining";
    case MemberState::down:
      return "down";
  }
  return "unknown";
}

std::string domain_of(const Member& member) {
  // The slash keeps a server's own domain apart from all that an operator may name.
  if (member.domain.empty()) return "/server/" + std::to_string(member.id.value);
  return member.domain;
}

const Member* find_member(const ClusterConfig& config, ServerId id) {
  const auto found = std::find_if(config.members.begin(), config.members.end(),
                                  [id](const Member& member) { return member.id == id; });
  return found == config.members.end() ? nullptr : &*found;
}

Member* find_member(ClusterConfig& config, ServerId id) {
  return const_cast<Member*>(find_member(std::as_const(config), id));
}

Epoch floor_of(const ClusterConfig& config, const TenantId& tenant, const SpaceId& space) {
  Epoch highest;
  for (const Floor& floor : config.floors) {
    if (floor.tenant == tenant && (floor.space.is_zero() || floor.space == space))
      highest = std::max(highest, floor.epoch);
  }
  return highest;
}

Status validate(const ClusterConfig& config) {
  if (config.cluster.empty() || config.cluster.size() > kNameBytesMax)
    return invalid_argument("cluster: must have 1 to 128 bytes");
  TARN_RETURN_IF_ERROR(check_members(config.members));
  TARN_RETURN_IF_ERROR(check_slots(config));
  return check_ticket_keys(config.ticket_keys);
}

}  // namespace tarn::ring
