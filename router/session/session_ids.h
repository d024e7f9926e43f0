#pragma once

#include <string>
#include <string_view>

namespace tarn::session {

// 16 random bytes.
std::string draw_request_id();

// The id of a session that its caller gave no name: 26 characters of base32, drawn from the
// request's id, so that a retry, through whatever router, names the same session.
std::string session_id_for(std::string_view tenant, std::string_view request_id);

}  // namespace tarn::session
