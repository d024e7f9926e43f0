#include "router/index/extent_image.h"

#include <bit>
#include <cstring>

#include "common/base/big_endian.h"
#include "common/base/units.h"

namespace tarn::index {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr size_t kKeyBytes = 16;
constexpr size_t kHolders = size_t{kHoldersMax} * 65'536;

template <typename Number>
void put(std::string& to, Number number) {
  to.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

// Takes numbers and bytes off the front; false once there are too few.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : x_rest(bytes) {}

  bool take(void* to, size_t size) {
    if (x_rest.size() < size) return x_sound = false;
    std::memcpy(to, x_rest.data(), size);
    x_rest.remove_prefix(size);
    return true;
  }
  template <typename Number>
  Number number() {
    Number value{};
    (void)take(&value, sizeof(value));
    return value;
  }
  bool is_sound() const { return x_sound; }
  bool is_at_end() const { return x_sound && x_rest.empty(); }

 private:
  std::string_view x_rest;
  bool x_sound = true;
};

}  // namespace

std::string key_bytes(const ExtentImage& extent) {
  std::string key;
  append_be<uint64_t>(key, extent.position.value);
  append_be<uint64_t>(key, extent.anchor_print);
  return key;
}

std::string value_bytes(const ExtentImage& extent) {
  std::string value;
  value.append(reinterpret_cast<const char*>(extent.tenant.bytes.data()), 16);
  value.append(reinterpret_cast<const char*>(extent.space.bytes.data()), 16);
  put(value, extent.block_bytes);
  put(value, extent.anchor.size);
  value += extent.anchor.view();
  put(value, static_cast<uint8_t>(extent.prints.size()));
  for (const Fingerprint print : extent.prints)
    put(value, print);
  put(value, static_cast<uint32_t>(extent.holders.size()));
  for (const auto& holder : extent.holders) {
    put(value, holder.server.value);
    put(value, holder.shard);
    put(value, static_cast<uint8_t>(holder.tier));
    put(value, holder.blocks);
  }
  return value;
}

Result<ExtentImage> parse_extent(std::string_view key, std::string_view value) {
  if (key.size() != kKeyBytes) return corrupt("index snapshot: a key is not 16 bytes");
  ExtentImage extent;
  extent.position.value = load_be(key.substr(0, 8));
  extent.anchor_print = load_be(key.substr(8, 8));
  Reader reader(value);
  (void)reader.take(extent.tenant.bytes.data(), 16);
  (void)reader.take(extent.space.bytes.data(), 16);
  extent.block_bytes = reader.number<uint32_t>();
  extent.anchor.size = reader.number<uint8_t>();
  if (extent.anchor.size > kHashBytesMax) return corrupt("index snapshot: anchor");
  (void)reader.take(extent.anchor.bytes.data(), extent.anchor.size);
  const auto prints = reader.number<uint8_t>();
  if (prints >= kExtentBlocksMax) return corrupt("index snapshot: more blocks than an extent has");
  for (uint8_t i = 0; i < prints; ++i)
    extent.prints.push_back(reader.number<uint64_t>());
  if (prints > 0 && extent.anchor.is_empty()) return corrupt("index snapshot: no anchor");
  const auto holders = reader.number<uint32_t>();
  for (uint32_t i = 0; i < holders && i < kHolders && reader.is_sound(); ++i) {
    auto& holder = extent.holders.emplace_back();
    holder.server.value = reader.number<uint32_t>();
    holder.shard = reader.number<uint16_t>();
    const auto tier = reader.number<uint8_t>();
    holder.tier = static_cast<Tier>(tier);
    holder.blocks = reader.number<uint64_t>();
    if (tier < 2 || tier > 4) return corrupt("index snapshot: tier");
  }
  if (!reader.is_at_end()) return corrupt("index snapshot: a value of another length");
  return extent;
}

}  // namespace tarn::index
