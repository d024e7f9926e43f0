#include "common/block/hasher.h"

#include "sdk/cpp/src/outcome.h"
#include "tarn/tarn.h"

namespace tarn {

struct Hasher::Impl {
  block::PrefixHasher hasher;
};

Hasher::Hasher(std::shared_ptr<const Impl> impl) : x_impl(std::move(impl)) {}

Expected<Hasher> Hasher::open(std::string_view scheme, std::string_view seed,
                              uint32_t block_tokens) {
  auto hasher = block::PrefixHasher::open(scheme, seed, block_tokens);
  if (!hasher) return sdk::error_of(hasher.error());
  return Hasher(std::make_shared<const Impl>(Impl{*std::move(hasher)}));
}

std::vector<BlockHash> Hasher::hash(std::span<const uint32_t> tokens,
                                    std::span<const std::string> extra) const {
  block::Extra keys;
  if (!extra.empty() && !extra[0].empty()) keys.every_block.push_back(extra[0]);
  if (extra.size() > 1 && !extra[1].empty()) keys.first_block.push_back(extra[1]);
  std::vector<BlockHash> names;
  if (extra.size() > 2) return names;
  const auto hashes = x_impl->hasher.hash(tokens, keys);
  if (!hashes) return names;
  names.reserve(hashes->size());
  for (const block::BlockHash& hash : *hashes)
    names.emplace_back(hash.view());
  return names;
}

}  // namespace tarn
