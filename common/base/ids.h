#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

namespace tarn {

// An integer that is one kind of thing and never mixes with another kind.
template <typename Tag, typename Int>
struct StrongInt {
  Int value{};

  friend auto operator<=>(const StrongInt&, const StrongInt&) = default;
};

// Sixteen opaque bytes: the first half of a SHA-256 of what they name.
template <typename Tag>
struct Id128 {
  std::array<uint8_t, 16> bytes{};

  friend auto operator<=>(const Id128&, const Id128&) = default;
  bool is_zero() const { return *this == Id128{}; }
};

using Epoch = StrongInt<struct EpochTag, uint64_t>;
using Shard = StrongInt<struct ShardTag, uint32_t>;
using Position = StrongInt<struct PositionTag, uint64_t>;
// A server's number in the config: small, never used again for another server.
using ServerId = StrongInt<struct ServerIdTag, uint32_t>;
// Drawn anew whenever a server starts with an empty state.
using Incarnation = StrongInt<struct IncarnationTag, uint64_t>;
using Generation = StrongInt<struct GenerationTag, uint64_t>;
// One of kSessionSlots.
using SlotId = StrongInt<struct SlotIdTag, uint32_t>;

using TenantId = Id128<struct TenantIdTag>;
using SpaceId = Id128<struct SpaceIdTag>;

// Lower-case hexadecimal of bytes, and back; from_hex gives an empty string for what is not
// hexadecimal of even length.
std::string to_hex(std::string_view bytes);
std::string from_hex(std::string_view hex);

template <typename Tag>
std::string to_hex(const Id128<Tag>& id) {
  return to_hex(std::string_view(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()));
}

}  // namespace tarn

template <typename Tag, typename Int>
struct std::hash<tarn::StrongInt<Tag, Int>> {
  size_t operator()(const tarn::StrongInt<Tag, Int>& id) const {
    return std::hash<Int>()(id.value);
  }
};

template <typename Tag>
struct std::hash<tarn::Id128<Tag>> {
  size_t operator()(const tarn::Id128<Tag>& id) const {
    size_t word;
    std::memcpy(&word, id.bytes.data(), sizeof(word));
    return word;
  }
};
