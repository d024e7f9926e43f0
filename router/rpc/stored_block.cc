#include "router/rpc/stored_block.h"

#include "common/rpc/convert.h"

namespace tarn::router {

std::optional<index::StoredBlock> from_proto(const v1::StoredBlock& message) {
  const auto tenant = rpc::tenant_id_from(message.tenant());
  const auto space = rpc::space_id_from(message.space());
  const auto hash = block::BlockHash::from(message.hash());
  const auto anchor = block::BlockHash::from(message.anchor());
  if (!tenant || !space || !hash || !anchor) return std::nullopt;
  if (message.tier() < v1::TIER_DRAM || message.tier() > v1::TIER_OBJECT) return std::nullopt;
  index::StoredBlock block;
  block.tenant = *tenant;
  block.space = *space;
  block.shard = {message.shard()};
  block.hash = *hash;
  block.anchor = *anchor;
  block.index = message.index();
  block.bytes = message.bytes();
  block.tier = static_cast<index::Tier>(message.tier());
  return block;
}

std::vector<index::BlockEvent> events_from(const v1::BlockEvents& message) {
  std::vector<index::BlockEvent> events;
  events.reserve(static_cast<size_t>(message.events_size()));
  for (const v1::BlockEvent& event : message.events()) {
    if (const auto block = from_proto(event.block())) events.push_back({*block, event.removed()});
  }
  return events;
}

}  // namespace tarn::router
