#pragma once

#include <cstdint>

namespace tarn {

// A TCP port that nothing on loopback listens on now, for starting a program that cannot take port
// 0 and say which it got. It lies outside the range from which the kernel serves outgoing
// connections, so none of these takes it before the program does. 0 when there is none.
uint16_t free_port();

}  // namespace tarn
