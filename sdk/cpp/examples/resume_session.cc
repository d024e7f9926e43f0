// g++ -std=c++20 -Isdk/cpp/include sdk/cpp/examples/resume_session.cc -Lbuild/release/lib -ltarn
//
// One worker ends its turn of a conversation and forgets it; another goes on with nothing but the
// session's id. Two runs show it, with `tarn dev` running:
//   ./a.out put my-talk; ./a.out resume my-talk

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "tarn/tarn.h"

namespace {

constexpr size_t kBlockBytes = 64 << 10;
constexpr uint32_t kBlockTokens = 16;
constexpr size_t kBlocks = 4;

int fail(const char* what, const tarn::Error& error) {
  std::fprintf(stderr, "%s: %s: %s\n", what, std::string(outcome_name(error.outcome)).c_str(),
               error.message.c_str());
  return 1;
}

// What an engine does after a turn: keep the blocks, then append them to the session.
int put_turn(tarn::Space& space, const std::string& id) {
  std::vector<uint32_t> tokens(kBlocks * kBlockTokens, 42);
  const auto hasher =
      tarn::Hasher::open(space.spec().hash_scheme, space.spec().hash_seed, kBlockTokens);
  if (!hasher) return fail("hasher", hasher.error());
  const auto hashes = hasher.value().hash(tokens);

  std::vector<std::string> kv(hashes.size(), std::string(kBlockBytes, 'k'));
  std::vector<tarn::PutItem> items;
  for (size_t i = 0; i < hashes.size(); ++i) {
    items.push_back({hashes[i],
                     i == 0 ? tarn::BlockHash() : hashes[i - 1],
                     {tarn::Slice::of(kv[i].data(), kv[i].size())},
                     0});
  }
  tarn::Transfer put = space.put_kv(items);
  if (!put.wait() || !put.all_ok()) {
    std::fprintf(stderr, "put: %s\n", put.outcomes()[0].message.c_str());
    return 1;
  }

  auto session = space.create_session(id);
  if (!session) return fail("create_session", session.error());
  tarn::Append append;
  append.blocks = hashes;
  append.token_count = tokens.size();
  append.token_ids = tokens;
  const auto version = session->append(1, append);
  if (!version) return fail("append", version.error());
  std::printf("%s is at version %zu\n", id.c_str(), static_cast<size_t>(version.value()));
  return 0;
}

// What any other engine does before the next turn.
int resume_turn(tarn::Space& space, const std::string& id) {
  const auto manifest = space.open_session(id).resolve();
  if (!manifest) return fail("resolve", manifest.error());
  std::vector<std::string> kv(manifest.value().blocks.size(), std::string(kBlockBytes, '\0'));
  std::vector<tarn::GetItem> items;
  for (size_t i = 0; i < kv.size(); ++i)
    items.push_back({manifest.value().blocks[i], {tarn::Slice::of(kv[i].data(), kv[i].size())}, 0});
  tarn::Transfer get = space.get_kv(items);
  if (!get.wait()) return 1;
  size_t usable = 0;
  for (const tarn::BlockOutcome& outcome : get.outcomes()) {
    // A prefix is usable: what follows the first miss is recomputed.
    if (outcome.outcome != tarn::Outcome::ok) break;
    ++usable;
  }
  std::printf("%s: %zu of %zu tokens need no prefill\n", id.c_str(), usable * kBlockTokens,
              static_cast<size_t>(manifest.value().token_count));
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string_view what = count == 3 ? arguments[1] : "";
  if (what != "put" && what != "resume") {
    std::fprintf(stderr, "usage: resume_session put|resume SESSION\n");
    return 2;
  }
  auto client = tarn::Client::connect();
  if (!client) return fail("connect", client.error());
  tarn::SpaceSpec spec;
  spec.model = "example";
  spec.block_tokens = kBlockTokens;
  auto space = client->open_space(spec);
  if (!space) return fail("open_space", space.error());
  return what == "put" ? put_turn(*space, arguments[2]) : resume_turn(*space, arguments[2]);
}
