#include "server/store/tier.h"

#include "common/base/check.h"

namespace tarn::store {

void Tier::find_all(std::span<const block::BlockKey> keys,
                    std::span<const block::BlockHeader*> found) const {
  TARN_CHECK(keys.size() == found.size());
  for (size_t i = 0; i < keys.size(); ++i)
    found[i] = find(keys[i]);
}

void Tier::read_ahead(const block::BlockKey&) {}

void Tier::persist(const block::BlockKey&, Instant, PersistDone done) {
  done(unsupported("this server has no flash tier"));
}

Pin& Pin::operator=(Pin&& other) noexcept {
  if (this != &other) {
    release();
    x_tier = std::exchange(other.x_tier, nullptr);
    x_token = std::exchange(other.x_token, nullptr);
    x_bytes = std::exchange(other.x_bytes, {});
  }
  return *this;
}

void Pin::release() {
  if (x_tier == nullptr) return;
  std::exchange(x_tier, nullptr)->unpin(x_token);
}

const block::BlockHeader& Pin::header() const {
  TARN_CHECK(x_tier != nullptr);
  return x_tier->header_of(x_token);
}

Slot& Slot::operator=(Slot&& other) noexcept {
  if (this != &other) {
    abandon();
    x_tier = std::exchange(other.x_tier, nullptr);
    x_token = std::exchange(other.x_token, nullptr);
    x_bytes = std::exchange(other.x_bytes, {});
  }
  return *this;
}

void Slot::abandon() {
  if (x_tier == nullptr) return;
  std::exchange(x_tier, nullptr)->abandon(x_token);
}

void* Slot::take_token() {
  TARN_CHECK(x_tier != nullptr);
  x_tier = nullptr;
  return x_token;
}

void Slot::set_payload_crc(uint32_t crc32c) {
  TARN_CHECK(x_tier != nullptr);
  x_tier->set_payload_crc(x_token, crc32c);
}

}  // namespace tarn::store
