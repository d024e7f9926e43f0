#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace tarn::peers {

// A TCP connection whose values are received straight into the caller's memory: what comes before
// and after them goes through a small buffer. One-thread, blocking.
class Wire {
 public:
  Wire() = default;
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  ~Wire();

  // `address` is HOST:PORT with a numeric host. Returns: ok, invalid_argument, unavailable.
  Status connect(const std::string& address);

  // Sends all parts, one after the other, with as few system calls as may be.
  Status send(std::initializer_list<std::string_view> parts);
  // The next line, without its "\r\n"; valid until the next call.
  Result<std::string_view> read_line();
  Status read_into(std::span<std::byte> place);

 private:
  Status receive_more();

  int x_fd = -1;
  std::array<char, 4096> x_buffer{};
  size_t x_begin = 0;
  size_t x_end = 0;
};

}  // namespace tarn::peers
