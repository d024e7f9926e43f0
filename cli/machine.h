#pragma once

#include <cstdint>
#include <string>

namespace tarn::cli {

// The network interface that has the address; "lo" for loopback; empty when none has it.
std::string device_of_host(const std::string& host);

// How many lanes of a server this much memory is enough for, at least 1.
uint32_t lanes_that_fit(uint64_t dram_bytes);

}  // namespace tarn::cli
