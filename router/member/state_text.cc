#include "router/member/state_text.h"

#include <algorithm>

#include <google/protobuf/unknown_field_set.h>

#include "common/base/check.h"
#include "common/rpc/convert.h"
#include "proto/tarn/v1/cluster.pb.h"

namespace tarn::member {
namespace {

uint32_t highest_id(const ring::ClusterConfig& config) {
  uint32_t highest = 0;
  for (const ring::Member& member : config.members)
    highest = std::max(highest, member.id.value);
  return highest;
}

}  // namespace

std::string encode_state(const ClusterState& state) {
  TARN_DCHECK(state.next_server_id > highest_id(state.config));
  v1::ClusterConfig message = rpc::to_proto(state.config);
  message.set_next_server_id(state.next_server_id);
  for (const NamedSpace& space : state.spaces) {
    v1::NamedSpace* to = message.add_spaces();
    to->set_tenant(space.tenant);
    *to->mutable_spec() = rpc::to_proto(space.spec);
  }
  return message.SerializeAsString() + state.unknown_fields;
}

Result<ClusterState> decode_state(std::string_view bytes) {
  v1::ClusterConfig message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return corrupt("the stored config is no ClusterConfig message");
  }
  auto config = rpc::from_proto(message);
  if (!config) return corrupt("the stored config: " + config.error().message());
  ClusterState state;
  state.config = std::move(config).value();
  // An id is never given twice, whatever a hand-edited config says.
  state.next_server_id = std::max(message.next_server_id(), highest_id(state.config) + 1);
  for (const auto& space : message.spaces())
    state.spaces.push_back({space.tenant(), rpc::from_proto(space.spec())});
  message.GetReflection()->GetUnknownFields(message).SerializeToString(&state.unknown_fields);
  return state;
}

}  // namespace tarn::member
