#include "common/fabric/ucx_address.h"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>

#include "common/base/check.h"
#include "common/block/checksum.h"

namespace tarn::fabric {
namespace {

static_assert(std::endian::native == std::endian::little, "the wrapper is little-endian");

// "TUX1": the last digit rises with the layout.
constexpr uint32_t kMagic = 0x31585554;
constexpr size_t kPrefixBytes = 8;

void append_field(std::string* to, std::string_view field) {
  TARN_CHECK(field.size() <= UINT16_MAX);
  const auto length = static_cast<uint16_t>(field.size());
  to->append(reinterpret_cast<const char*>(&length), sizeof(length));
  to->append(field);
}

uint32_t load_u32(std::string_view from) {
  TARN_CHECK(from.size() >= sizeof(uint32_t));
  uint32_t value = 0;
  std::memcpy(&value, from.data(), sizeof(value));
  return value;
}

// Takes the next field off the front of `from`.
std::optional<std::string_view> take_field(std::string_view* from) {
  uint16_t length = 0;
  if (from->size() < sizeof(length)) return std::nullopt;
  std::memcpy(&length, from->data(), sizeof(length));
  from->remove_prefix(sizeof(length));
  if (from->size() < length) return std::nullopt;
  const std::string_view field = from->substr(0, length);
  from->remove_prefix(length);
  return field;
}

Status compare(std::string_view what, std::string_view theirs, std::string_view ours) {
  if (theirs == ours) return Status::ok();
  return unsupported("the peer's UCX " + std::string(what) + " is '" + std::string(theirs) +
                     "', ours is '" + std::string(ours) + "'");
}

}  // namespace

std::string wrap_ucx_address(const UcxIdentity& identity, std::string_view worker_address) {
  TARN_CHECK(worker_address.size() <= kUcxAddressBytesMax);
  std::string body;
  for (const std::string_view field :
       {std::string_view(identity.kind), std::string_view(identity.version),
        std::string_view(identity.settings), worker_address}) {
    append_field(&body, field);
  }
  const uint32_t crc = block::crc32c(0, body.data(), body.size());
  std::string wrapped(kPrefixBytes, '\0');
  std::memcpy(wrapped.data(), &kMagic, sizeof(kMagic));
  std::memcpy(wrapped.data() + sizeof(kMagic), &crc, sizeof(crc));
  return wrapped + body;
}

Result<std::string> unwrap_ucx_address(const UcxIdentity& ours, std::string_view wrapped) {
  if (wrapped.size() < kPrefixBytes || load_u32(wrapped) != kMagic) {
    return invalid_argument("this is not the address of a UCX port");
  }
  std::string_view body = wrapped.substr(kPrefixBytes);
  if (load_u32(wrapped.substr(sizeof(kMagic))) != block::crc32c(0, body.data(), body.size())) {
    return invalid_argument("the address of the UCX port is damaged");
  }
  std::array<std::string_view, 4> fields;
  for (std::string_view& field : fields) {
    const auto taken = take_field(&body);
    if (!taken) return invalid_argument("the address of the UCX port is too short");
    field = *taken;
  }
  if (!body.empty()) return invalid_argument("the address of the UCX port is too long");
  if (fields[3].empty() || fields[3].size() > kUcxAddressBytesMax) {
    return invalid_argument("the worker address within the UCX port's is empty or too long");
  }
  TARN_RETURN_IF_ERROR(compare("kind", fields[0], ours.kind));
  TARN_RETURN_IF_ERROR(compare("version", fields[1], ours.version));
  TARN_RETURN_IF_ERROR(compare("settings", fields[2], ours.settings));
  return std::string(fields[3]);
}

}  // namespace tarn::fabric
