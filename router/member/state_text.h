#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "router/member/authority.h"

namespace tarn::member {

// A state as etcd and the file keep it: a v1::ClusterConfig message.
std::string encode_state(const ClusterState& state);

// Returns: the state, corrupt for bytes that are no valid config.
Result<ClusterState> decode_state(std::string_view bytes);

}  // namespace tarn::member
