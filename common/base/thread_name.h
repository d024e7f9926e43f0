#pragma once

#include <string_view>

namespace tarn {

// Names the calling thread for top, gdb and the log; at most 15 characters are kept.
void set_thread_name(std::string_view name);

}  // namespace tarn
