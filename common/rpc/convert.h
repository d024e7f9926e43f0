#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/block/key.h"
#include "common/block/space.h"
#include "common/ring/config.h"
#include "proto/tarn/v1/cluster.pb.h"
#include "proto/tarn/v1/types.pb.h"

namespace tarn::rpc {

// Between messages and our own types. From a message: returns invalid_argument naming the field.
// The config's spaces and next_server_id belong to the router and have no place in
// ring::ClusterConfig.

template <typename Tag>
std::string to_bytes(const Id128<Tag>& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

Result<SpaceId> space_id_from(std::string_view bytes);
Result<TenantId> tenant_id_from(std::string_view bytes);

block::SpaceSpec from_proto(const v1::SpaceSpec& spec);
v1::SpaceSpec to_proto(const block::SpaceSpec& spec);

Result<ring::ClusterConfig> from_proto(const v1::ClusterConfig& config);
v1::ClusterConfig to_proto(const ring::ClusterConfig& config);

v1::Outcome to_outcome(Code code);
Code from_outcome(v1::Outcome outcome);

}  // namespace tarn::rpc
