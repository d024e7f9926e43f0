#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "common/base/check.h"
#include "common/block/checksum.h"
#include "common/fabric/ucx_address.h"

// What unwraps is exactly what was wrapped. Magic and CRC are put right, or no input would get past
// them.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const tarn::fabric::UcxIdentity ours{"ucx", "1.13.1", "s"};
  const std::string body(reinterpret_cast<const char*>(data), size);
  std::string wrapped = tarn::fabric::wrap_ucx_address(ours, "x").substr(0, 8) + body;
  const uint32_t crc = tarn::block::crc32c(0, body.data(), body.size());
  std::memcpy(wrapped.data() + 4, &crc, sizeof(crc));
  const auto address = tarn::fabric::unwrap_ucx_address(ours, wrapped);
  if (address.has_value()) TARN_CHECK(tarn::fabric::wrap_ucx_address(ours, *address) == wrapped);
  return 0;
}
