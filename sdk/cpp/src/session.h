#pragma once

#include <string>

namespace tarn::sdk {

// 32 hexadecimal digits of randomness.
std::string draw_session_id();

}  // namespace tarn::sdk
