#include "common/wire/seal.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/wire/decode.h"

namespace tarn::wire {
namespace {

static_assert(kMacBytes == auth::kRequestMacBytes);
static_assert(kMacOffset + kMacBytes == kEnvelopeBytes);

// Where the sequence lies in the envelope.
constexpr size_t kSequenceOffset = 20;

std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

void sign(HeaderBuffer& header, auth::RequestMac& mac) {
  TARN_CHECK(header.size >= kEnvelopeBytes);
  const auto whole = MutableBytes(header.bytes).first(header.size);
  const auto field = whole.subspan(kMacOffset, kMacBytes);
  std::fill(field.begin(), field.end(), std::byte{0});
  const auto sequence = Reader(whole.subspan(kSequenceOffset)).get<uint64_t>();
  const auth::RequestTag tag = mac.compute(sequence, text_of(whole));
  std::memcpy(field.data(), tag.data(), tag.size());
}

bool verify(MutableBytes header, const Envelope& envelope, auth::RequestMac& mac) {
  TARN_CHECK(header.size() >= kEnvelopeBytes);
  const auto field = header.subspan(kMacOffset, kMacBytes);
  std::fill(field.begin(), field.end(), std::byte{0});
  return mac.verify(envelope.route.sequence, text_of(header),
                    {reinterpret_cast<const char*>(envelope.mac.data()), envelope.mac.size()});
}

}  // namespace tarn::wire
