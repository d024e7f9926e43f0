#include "common/rpc/convert.h"

#include <algorithm>

namespace tarn::rpc {
namespace {

template <typename Id>
Result<Id> id_from(std::string_view bytes, const char* field) {
  Id id;
  if (bytes.size() != id.bytes.size()) {
    return invalid_argument(std::string(field) + ": expected 16 bytes, got " +
                            std::to_string(bytes.size()));
  }
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id;
}

// A kind that a newer peer knows and we do not becomes one that block::validate() refuses: taken
// for another kind, the space would get another id.
block::SpaceKind kind_from(v1::SpaceKind kind) {
  switch (kind) {
    case v1::SPACE_KIND_UNSPECIFIED:
    case v1::SPACE_KIND_CHAINED:
      return block::SpaceKind::chained;
    case v1::SPACE_KIND_FLAT:
      return block::SpaceKind::flat;
    default:
      return static_cast<block::SpaceKind>(UINT8_MAX);
  }
}

ring::MemberState state_from(v1::MemberState state) {
  switch (state) {
    case v1::MEMBER_STATE_UP:
      return ring::MemberState::up;
    case v1::MEMBER_STATE_DRAINING:
      return ring::MemberState::draining;
    case v1::MEMBER_STATE_DOWN:
      return ring::MemberState::down;
    default:
      return ring::MemberState::joining;
  }
}

v1::MemberState state_to(ring::MemberState state) {
  switch (state) {
    case ring::MemberState::up:
      return v1::MEMBER_STATE_UP;
    case ring::MemberState::draining:
      return v1::MEMBER_STATE_DRAINING;
    case ring::MemberState::down:
      return v1::MEMBER_STATE_DOWN;
    case ring::MemberState::joining:
      return v1::MEMBER_STATE_JOINING;
  }
  return v1::MEMBER_STATE_UNSPECIFIED;
}

ring::Member member_from(const v1::Member& from) {
  ring::Member member;
  member.id = {from.id()};
  member.name = from.name();
  member.control_endpoint = from.control_endpoint();
  member.incarnation = {from.incarnation()};
  member.weight = from.weight();
  member.domain = from.domain();
  member.state = state_from(from.state());
  member.lanes = from.lanes();
  return member;
}

void member_to(const ring::Member& from, v1::Member* member) {
  member->set_id(from.id.value);
  member->set_name(from.name);
  member->set_control_endpoint(from.control_endpoint);
  member->set_incarnation(from.incarnation.value);
  member->set_weight(from.weight);
  member->set_domain(from.domain);
  member->set_state(state_to(from.state));
  member->set_lanes(from.lanes);
}

ring::SlotEntry slot_from(const v1::Slot& from) {
  ring::SlotEntry slot;
  slot.primary = {from.primary()};
  for (const uint32_t id : from.synced())
    slot.synced.push_back({id});
  for (const uint32_t id : from.learners())
    slot.learners.push_back({id});
  slot.begun = {from.begun_epoch()};
  return slot;
}

void slot_to(const ring::SlotEntry& from, v1::Slot* slot) {
  slot->set_primary(from.primary.value);
  for (const ServerId id : from.synced)
    slot->add_synced(id.value);
  for (const ServerId id : from.learners)
    slot->add_learners(id.value);
  slot->set_begun_epoch(from.begun.value);
}

Result<ring::Floor> floor_from(const v1::Floor& from) {
  ring::Floor floor;
  TARN_ASSIGN_OR_RETURN(floor.tenant, tenant_id_from(from.tenant()));
  if (!from.space().empty()) {
    TARN_ASSIGN_OR_RETURN(floor.space, space_id_from(from.space()));
  }
  floor.epoch = {from.epoch()};
  return floor;
}

}  // namespace

Result<SpaceId> space_id_from(std::string_view bytes) {
  return id_from<SpaceId>(bytes, "space");
}

Result<TenantId> tenant_id_from(std::string_view bytes) {
  return id_from<TenantId>(bytes, "tenant");
}

block::SpaceSpec from_proto(const v1::SpaceSpec& from) {
  block::SpaceSpec spec;
  spec.model = from.model();
  spec.revision = from.revision();
  spec.dtype = from.dtype();
  spec.layout = from.layout();
  spec.block_tokens = from.block_tokens();
  spec.tensor_parallel = from.tensor_parallel();
  spec.hash_scheme = from.hash_scheme();
  spec.hash_seed = from.hash_seed();
  spec.kind = kind_from(from.kind());
  if (from.extent_blocks() != 0) spec.extent_blocks = from.extent_blocks();
  return spec;
}

v1::SpaceSpec to_proto(const block::SpaceSpec& from) {
  v1::SpaceSpec spec;
  spec.set_model(from.model);
  spec.set_revision(from.revision);
  spec.set_dtype(from.dtype);
  spec.set_layout(from.layout);
  spec.set_block_tokens(from.block_tokens);
  spec.set_tensor_parallel(from.tensor_parallel);
  spec.set_hash_scheme(from.hash_scheme);
  spec.set_hash_seed(from.hash_seed);
  spec.set_kind(from.kind == block::SpaceKind::flat ? v1::SPACE_KIND_FLAT : v1::SPACE_KIND_CHAINED);
  spec.set_extent_blocks(from.extent_blocks);
  return spec;
}

Result<ring::ClusterConfig> from_proto(const v1::ClusterConfig& from) {
  ring::ClusterConfig config;
  config.epoch = {from.epoch()};
  config.cluster = from.cluster();
  for (const auto& member : from.members())
    config.members.push_back(member_from(member));
  if (from.slots_size() != 0) {
    config.slots.clear();
    for (const auto& slot : from.slots())
      config.slots.push_back(slot_from(slot));
  }
  for (const auto& key : from.ticket_keys()) {
    config.ticket_keys.push_back({key.id(), key.secret(), key.not_after_unix_ms()});
  }
  config.revocations.insert(from.revocations().begin(), from.revocations().end());
  for (const auto& floor : from.floors()) {
    TARN_ASSIGN_OR_RETURN(auto converted, floor_from(floor));
    config.floors.push_back(converted);
  }
  TARN_RETURN_IF_ERROR(ring::validate(config));
  return config;
}

v1::ClusterConfig to_proto(const ring::ClusterConfig& from) {
  v1::ClusterConfig config;
  config.set_epoch(from.epoch.value);
  config.set_cluster(from.cluster);
  for (const auto& member : from.members)
    member_to(member, config.add_members());
  for (const auto& slot : from.slots)
    slot_to(slot, config.add_slots());
  for (const auto& key : from.ticket_keys) {
    auto* to = config.add_ticket_keys();
    to->set_id(key.id);
    to->set_secret(key.secret);
    to->set_not_after_unix_ms(key.not_after_ms);
  }
  config.mutable_revocations()->insert(from.revocations.begin(), from.revocations.end());
  for (const auto& floor : from.floors) {
    auto* to = config.add_floors();
    to->set_tenant(to_bytes(floor.tenant));
    if (!floor.space.is_zero()) to->set_space(to_bytes(floor.space));
    to->set_epoch(floor.epoch.value);
  }
  return config;
}

v1::Outcome to_outcome(Code code) {
  return static_cast<v1::Outcome>(code);
}

Code from_outcome(v1::Outcome outcome) {
  const int number = static_cast<int>(outcome);
  return number >= 0 && number < kCodeCount ? static_cast<Code>(number) : Code::internal;
}

}  // namespace tarn::rpc
