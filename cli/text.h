#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

// How the command line reads what people write, and writes for them. Pure functions.
namespace tarn::cli {

// Rows under titles, each column as wide as its widest cell. One-thread.
class Table {
 public:
  explicit Table(std::vector<std::string> titles);

  // Precondition: as many cells as titles.
  void add(std::vector<std::string> cells);
  bool is_empty() const { return x_rows.size() == 1; }

  // Lines that end in a newline, without spaces at their ends.
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> x_rows;
};

// "1.5 GiB", "512 B"
std::string format_bytes(uint64_t bytes);

// "3 d", "2 h", "1.5 s", "20 ms"
std::string format_duration(int64_t ms);

// A size as in config files: "4GiB". Returns: the bytes; invalid_argument that names `flag`.
Result<uint64_t> parse_bytes(std::string_view flag, std::string_view text);

// A time to live: what config files take, or days ("30d"). Returns: milliseconds, at least 1 s and
// at most `days_max`; invalid_argument that names `flag`.
Result<int64_t> parse_ttl(std::string_view flag, std::string_view text, int64_t days_max);

// HOST:PORT, where HOST may be empty. Returns: both; invalid_argument that names `flag`.
struct HostPort {
  std::string host;
  uint16_t port = 0;
};
Result<HostPort> parse_host_port(std::string_view flag, std::string_view text);

// The bytes of a block hash in hexadecimal digits. Returns: 1 to kHashBytesMax bytes;
// invalid_argument.
Result<std::string> hash_from_hex(std::string_view text);

}  // namespace tarn::cli
