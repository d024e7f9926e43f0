#include "common/ring/position.h"

#include <xxhash.h>

#include <array>
#include <bit>
#include <cstring>
#include <string>

#include "common/base/check.h"
#include "common/base/units.h"

namespace tarn::ring {
namespace {

constexpr uint32_t kSlotBits = 10;
static_assert(1u << kSlotBits == kSessionSlots);
static_assert(std::endian::native == std::endian::little);

// Appends u32 length and bytes; returns the end.
char* put_field(char* to, std::string_view field) {
  const auto size = static_cast<uint32_t>(field.size());
  std::memcpy(to, &size, sizeof(size));
  std::memcpy(to + sizeof(size), field.data(), field.size());
  return to + sizeof(size) + field.size();
}

template <typename Tag>
std::string_view view(const Id128<Tag>& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

}  // namespace

Position position_of(const TenantId& tenant, const SpaceId& space, const block::BlockHash& anchor) {
  TARN_DCHECK(!anchor.is_empty());
  std::array<char, 3 * sizeof(uint32_t) + 16 + 16 + kHashBytesMax> fields;
  char* end = put_field(fields.data(), view(tenant));
  end = put_field(end, view(space));
  end = put_field(end, anchor.view());
  return Position{XXH3_64bits(fields.data(), static_cast<size_t>(end - fields.data()))};
}

Position session_position(const TenantId& tenant, std::string_view session_id) {
  std::string fields(2 * sizeof(uint32_t) + 16 + session_id.size(), '\0');
  char* end = put_field(fields.data(), view(tenant));
  end = put_field(end, session_id);
  TARN_DCHECK(end == fields.data() + fields.size());
  return Position{XXH3_64bits(fields.data(), fields.size())};
}

SlotId slot_of(Position position) {
  return SlotId{static_cast<uint32_t>(position.value >> (64 - kSlotBits))};
}

uint32_t lane_of(Position position, uint32_t lane_count) {
  TARN_CHECK(lane_count > 0);
  const uint64_t low = position.value & 0xffffffff;
  return static_cast<uint32_t>(low * lane_count >> 32);
}

}  // namespace tarn::ring
