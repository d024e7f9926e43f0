// g++ -std=c++20 -Isdk/cpp/include sdk/cpp/examples/put_get.cc -Lbuild/release/lib -ltarn
//
// Puts the KV cache of a prompt's blocks and gets it back. `tarn dev` must be running; then
//   LD_LIBRARY_PATH=build/release/lib ./a.out

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "tarn/tarn.h"

namespace {

constexpr size_t kBlockBytes = 2 << 20;
constexpr uint32_t kBlockTokens = 16;

int fail(const char* what, const tarn::Error& error) {
  std::fprintf(stderr, "%s: %s: %s\n", what, std::string(outcome_name(error.outcome)).c_str(),
               error.message.c_str());
  return 1;
}

// Ends when the transfer has; says what became of each block.
bool finish(const char* what, tarn::Transfer transfer) {
  if (!transfer.wait()) return false;
  for (const tarn::BlockOutcome& outcome : transfer.outcomes()) {
    std::printf("%s: %s, %zu bytes %s\n", what, std::string(outcome_name(outcome.outcome)).c_str(),
                static_cast<size_t>(outcome.bytes), outcome.message.c_str());
  }
  return transfer.all_ok();
}

}  // namespace

int main() {
  auto client = tarn::Client::connect();
  if (!client) return fail("connect", client.error());

  tarn::SpaceSpec spec;
  spec.model = "example";
  spec.dtype = "bf16";
  spec.layout = "layers,2,heads,tokens,dim";
  spec.block_tokens = kBlockTokens;
  auto space = client->open_space(spec);
  if (!space) return fail("open_space", space.error());

  // The names of the blocks come from their tokens, as the engine computes them.
  std::vector<uint32_t> tokens(3 * kBlockTokens, 42);
  auto hasher = tarn::Hasher::open(spec.hash_scheme, spec.hash_seed, kBlockTokens);
  if (!hasher) return fail("hasher", hasher.error());
  const std::vector<tarn::BlockHash> hashes = hasher->hash(tokens);

  auto memory = client->allocate(2 * hashes.size() * kBlockBytes);
  if (!memory) return fail("allocate", memory.error());
  std::memset(memory->data(), 7, hashes.size() * kBlockBytes);

  std::vector<tarn::PutItem> puts;
  std::vector<tarn::GetItem> gets;
  for (size_t i = 0; i < hashes.size(); ++i) {
    const tarn::BlockHash parent = i == 0 ? tarn::BlockHash() : hashes[i - 1];
    puts.push_back({hashes[i], parent, {memory->slice(i * kBlockBytes, kBlockBytes)}, 0});
    gets.push_back({hashes[i], {memory->slice((hashes.size() + i) * kBlockBytes, kBlockBytes)}, 0});
  }
  if (!finish("put", space->put_kv(puts))) return 1;
  if (!finish("get", space->get_kv(gets))) return 1;
  for (const tarn::ConnectionInfo& info : client->connections())
    std::printf("%s: %s %s\n", info.server.c_str(), info.transport.c_str(), info.note.c_str());
  return 0;
}
