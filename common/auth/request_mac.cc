#include <algorithm>
#include <cstring>
#include <utility>

#include "common/auth/ticket.h"
#include "common/base/check.h"
#include "common/base/little_endian.h"

namespace tarn::auth {
namespace {

constexpr size_t kNonceOffset = 8;
constexpr size_t kSequenceOffset = 24;

}  // namespace

RequestMac::RequestMac(MacKey key, const ConnectionBinding& binding) : x_key(std::move(key)) {
  static_assert(kSequenceOffset == kNonceOffset + sizeof(binding.nonce));
  store_le(x_prefix.data(), binding.incarnation.value);
  std::memcpy(x_prefix.data() + kNonceOffset, binding.nonce.data(), binding.nonce.size());
}

Result<RequestMac> RequestMac::open(std::string_view client_key, const ConnectionBinding& binding) {
  if (client_key.size() != kMacBytes) return invalid_argument("a client key has 32 bytes");
  TARN_ASSIGN_OR_RETURN(MacKey key, MacKey::open(client_key));
  return RequestMac(std::move(key), binding);
}

RequestTag RequestMac::compute(uint64_t sequence, std::string_view header) {
  store_le(x_prefix.data() + kSequenceOffset, sequence);
  const Mac whole = x_key.mac({std::string_view(x_prefix.data(), x_prefix.size()), header});
  RequestTag tag;
  std::copy_n(whole.begin(), tag.size(), tag.begin());
  return tag;
}

bool RequestMac::verify(uint64_t sequence, std::string_view header, std::string_view tag) {
  const RequestTag expected = compute(sequence, header);
  return equal_in_constant_time({reinterpret_cast<const char*>(expected.data()), expected.size()},
                                tag);
}

bool ReplayWindow::accept(uint64_t sequence) {
  if (x_is_empty || sequence > x_newest) {
    advance_to(sequence);
  } else if (x_newest - sequence >= kSequences) {
    return false;
  }
  const size_t bit = sequence % kSequences;
  if (x_seen[bit]) return false;
  x_seen[bit] = true;
  return true;
}

void ReplayWindow::advance_to(uint64_t sequence) {
  if (x_is_empty || sequence - x_newest >= kSequences) {
    x_seen.reset();
  } else {
    for (uint64_t s = x_newest + 1; s != sequence; ++s)
      x_seen[s % kSequences] = false;
    x_seen[sequence % kSequences] = false;
  }
  x_newest = sequence;
  x_is_empty = false;
  TARN_DCHECK(!x_seen[sequence % kSequences]);
}

}  // namespace tarn::auth
