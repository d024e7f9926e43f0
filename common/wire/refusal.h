#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tarn::wire {

// Why a message was not taken; in the order in which it is looked for.
enum class Refusal : uint8_t {
  none = 0,
  // The envelope.
  too_short,
  too_long,
  magic,
  version,
  type,       // no message has this number
  direction,  // a reply where requests are due, or the other way round
  flags,      // not defined, or not for this type
  length,     // header_bytes is not what arrived
  // The sender.
  unknown_connection,
  lane,    // the sequence belongs to another lane
  mac,     // not made by the holder of the connection's key
  replay,  // this sequence was used, or is too old
  // The body.
  truncated,
  trailing_bytes,
  field,    // a value outside of its limits
  payload,  // its size is not what the body says
};

inline constexpr int kRefusalCount = 17;

// The name as it stands in the enum; "unknown" for a number that is none.
std::string_view refusal_name(Refusal refusal);

// How often each refusal happened, for metrics. One-thread.
class RefusalCounts {
 public:
  void add(Refusal refusal) { ++x_counts[static_cast<size_t>(refusal)]; }
  uint64_t of(Refusal refusal) const { return x_counts[static_cast<size_t>(refusal)]; }
  // Of all but none.
  uint64_t total() const;

 private:
  std::array<uint64_t, kRefusalCount> x_counts{};
};

}  // namespace tarn::wire
