#include "sdk/cpp/src/session.h"

#include <algorithm>
#include <utility>

#include "common/auth/secret.h"
#include "common/base/ids.h"
#include "common/base/units.h"
#include "sdk/cpp/src/handles.h"
#include "sdk/cpp/src/outcome.h"

namespace tarn {
namespace {

// How long an append waits for the routers' index to hear of blocks that another client has put.
constexpr Nanos kLocatePause = std::chrono::milliseconds(20);
constexpr int kLocateTries = 10;

Result<std::vector<block::BlockHash>> hashes_of(const std::vector<BlockHash>& blocks) {
  std::vector<block::BlockHash> hashes;
  hashes.reserve(blocks.size());
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto hash = block::BlockHash::from(blocks[i]);
    if (!hash) {
      return invalid_argument("blocks[" + std::to_string(i) + "]: " + hash.error().message());
    }
    hashes.push_back(*hash);
  }
  return hashes;
}

std::vector<block::BlockHash> unknown_of(const sdk::ChainCache& chains,
                                         const std::vector<block::BlockHash>& hashes) {
  std::vector<block::BlockHash> unknown;
  for (const block::BlockHash& hash : hashes)
    if (!chains.find(hash)) unknown.push_back(hash);
  return unknown;
}

// Where the blocks of an append lie. Those that no router knows either are placed by the writer's
// rule, as the one who puts them would.
Result<std::vector<sdk::PlacedBlock>> place_blocks(sdk::Core& core, sdk::SpaceState& space,
                                                   const std::vector<BlockHash>& blocks,
                                                   Instant deadline) {
  TARN_ASSIGN_OR_RETURN(const auto hashes, hashes_of(blocks));
  auto unknown = unknown_of(space.chains, hashes);
  for (int tries = 0; !unknown.empty() && tries < kLocateTries; ++tries) {
    if (tries > 0 && !core.pause(kLocatePause)) break;
    TARN_RETURN_IF_ERROR(core.locate(space, unknown, deadline));
    unknown = unknown_of(space.chains, hashes);
  }
  std::vector<sdk::ChainLink> links;
  for (size_t i = 0; i < hashes.size(); ++i)
    links.push_back({hashes[i], i == 0 ? block::BlockHash() : hashes[i - 1]});
  const auto places = space.chains.plan(links);
  std::vector<sdk::PlacedBlock> placed;
  for (size_t i = 0; i < hashes.size(); ++i)
    placed.push_back({hashes[i], places[i]});
  return placed;
}

// The caches learn where a resolved session's blocks lie.
void learn_runs(sdk::ChainCache& chains, const std::vector<sdk::ManifestRun>& runs) {
  for (size_t i = 0; i < runs.size(); ++i) {
    sdk::ChainCache::Run run{runs[i].anchor, runs[i].first_index, runs[i].hashes};
    run.ends_chain = i + 1 == runs.size();
    chains.learn(run);
  }
}

Status check_tail(const std::string& tail) {
  if (tail.size() <= kSessionTailBytesMax) return Status::ok();
  return invalid_argument("tail: more than 64 KiB");
}

}  // namespace

std::string sdk::draw_session_id() {
  const auto bytes = auth::random_bytes(16);
  // Without randomness the id is empty: then the router draws one.
  return bytes ? to_hex(*bytes) : std::string();
}

Session::Session(std::shared_ptr<Impl> impl) : x_impl(std::move(impl)) {}

const std::string& Session::id() const {
  return x_impl->id;
}

Expected<uint64_t> Session::append(uint64_t expected_version, const Append& what,
                                   CallOptions options) {
  sdk::Core& core = *x_impl->space->core;
  const Instant deadline = core.deadline_of(options);
  if (Status valid = check_tail(what.tail); !valid.is_ok()) return sdk::error_of(valid);
  const auto blocks = place_blocks(core, *x_impl->space->state, what.blocks, deadline);
  if (!blocks) return sdk::error_of(blocks.error());
  return sdk::expected_of(
      core.sessions().append({x_impl->name(), expected_version}, *blocks, what, deadline));
}

Expected<Manifest> Session::resolve(CallOptions options) const {
  sdk::Core& core = *x_impl->space->core;
  auto resolved = core.sessions().resolve(x_impl->name(), core.deadline_of(options));
  if (!resolved) return sdk::error_of(resolved.error());
  learn_runs(x_impl->space->state->chains, resolved->runs);
  return std::move(resolved->manifest);
}

Expected<Session> Session::fork(std::string new_id, CallOptions options) const {
  sdk::Core& core = *x_impl->space->core;
  if (new_id.empty()) new_id = sdk::draw_session_id();
  auto forked = core.sessions().fork(x_impl->name(), new_id, core.deadline_of(options));
  if (!forked) return sdk::error_of(forked.error());
  return Session(std::make_shared<Impl>(Impl{x_impl->space, *std::move(forked)}));
}

Expected<uint64_t> Session::truncate(uint64_t expected_version, const Truncate& to,
                                     CallOptions options) {
  sdk::Core& core = *x_impl->space->core;
  if (Status valid = check_tail(to.tail); !valid.is_ok()) return sdk::error_of(valid);
  return sdk::expected_of(
      core.sessions().truncate({x_impl->name(), expected_version}, to, core.deadline_of(options)));
}

Expected<Done> Session::pin(bool pinned, CallOptions options) {
  sdk::Core& core = *x_impl->space->core;
  sdk::SessionUpdate update;
  update.pinned = &pinned;
  return sdk::expected_of(
      core.sessions().update(x_impl->name(), update, core.deadline_of(options)));
}

Expected<Done> Session::set_ttl(int64_t ttl_ms, CallOptions options) {
  sdk::Core& core = *x_impl->space->core;
  if (ttl_ms < 0) return Error{Outcome::invalid_argument, "ttl_ms: is negative"};
  sdk::SessionUpdate update;
  update.ttl_ms = &ttl_ms;
  return sdk::expected_of(
      core.sessions().update(x_impl->name(), update, core.deadline_of(options)));
}

Expected<Done> Session::remove(CallOptions options) {
  sdk::Core& core = *x_impl->space->core;
  return sdk::expected_of(core.sessions().remove(x_impl->name(), core.deadline_of(options)));
}

}  // namespace tarn
