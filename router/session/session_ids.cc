#include "router/session/session_ids.h"

#include <array>
#include <cstdint>
#include <random>

#include "common/block/sha256.h"

namespace tarn::session {
namespace {

constexpr size_t kRequestIdBytes = 16;
constexpr size_t kSessionIdCharacters = 26;  // of 5 bits: 130
constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567";
static_assert(kBase32.size() == 32);

}  // namespace

std::string draw_request_id() {
  std::random_device device;
  std::string id;
  while (id.size() < kRequestIdBytes) {
    for (uint32_t word = device(), i = 0; i < 4; ++i)
      id += static_cast<char>(word >> (8 * i));
  }
  return id;
}

std::string session_id_for(std::string_view tenant, std::string_view request_id) {
  std::string text = "tarn session";
  text += '\0';
  text += tenant;
  text += '\0';
  text += request_id;
  const auto digest = block::sha256(text);
  std::string id;
  for (size_t i = 0; i < kSessionIdCharacters; ++i) {
    const size_t bit = i * 5;
    const uint32_t word = uint32_t{digest[bit / 8]} << 8 | digest[bit / 8 + 1];
    id += kBase32[word >> (11 - bit % 8) & 31];
  }
  return id;
}

}  // namespace tarn::session
