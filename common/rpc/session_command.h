#pragma once

#include <string>

#include "proto/tarn/v1/sessions.pb.h"

namespace tarn::rpc {

// The id of the session that the command is about, of a fork the new one: it names the slot, for
// the router that sends the command and the server that takes it alike. Empty when the command
// holds no operation.
const std::string& session_id_of(const v1::SessionCommand& command);

}  // namespace tarn::rpc
