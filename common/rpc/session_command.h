#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "proto/tarn/v1/sessions.pb.h"

namespace tarn::rpc {

// The id of the session that the command is about, of a fork the new one: it names the slot, for
// the router that sends the command and the server that takes it alike. Empty when the command
// holds no operation.
const std::string& session_id_of(const v1::SessionCommand& command);

// The space that the caller holds the session for, of a fork its source. Empty where any will do:
// for a creation, and when the caller did not say.
const std::string& expected_space_of(const v1::SessionCommand& command);

// The refusal of a session that is not of the caller's space: invalid_argument.
Status of_another_space(std::string_view session_id);

}  // namespace tarn::rpc
