#include "sdk/cpp/src/rpc_router.h"

#include <algorithm>
#include <map>

#include "common/base/check.h"
#include "common/rpc/convert.h"
#include "proto/tarn/v1/cluster.grpc.pb.h"
#include "proto/tarn/v1/router.grpc.pb.h"
#include "sdk/cpp/src/flight.h"
#include "sdk/cpp/src/rpc_channels.h"

namespace tarn::sdk {
namespace {

constexpr size_t kPackFrom = 64;

// A balancer waits for it with a request in its hand.
constexpr Nanos kRouteMost = std::chrono::milliseconds(1000);

const char* tier_name(v1::Tier tier) {
  switch (tier) {
    case v1::TIER_DRAM:
      return "dram";
    case v1::TIER_FLASH:
      return "flash";
    case v1::TIER_OBJECT:
      return "object";
    default:
      return "";
  }
}

// Packed where that pays: a long chain of hashes of one size.
void name_chain(std::span<const block::BlockHash> hashes, v1::MatchRequest& request) {
  const auto has_other_size = [&](const block::BlockHash& hash) {
    return hash.size != hashes.front().size;
  };
  if (hashes.size() < kPackFrom || std::any_of(hashes.begin(), hashes.end(), has_other_size)) {
    for (const block::BlockHash& hash : hashes)
      request.add_hashes(hash.bytes.data(), hash.size);
    return;
  }
  std::string& packed = *request.mutable_packed_hashes();
  packed.reserve(hashes.size() * hashes.front().size);
  for (const block::BlockHash& hash : hashes)
    packed += hash.view();
  request.set_hash_bytes(hashes.front().size);
}

void name_by_digests(std::span<const block::BlockHash> hashes, v1::MatchRequest& request) {
  request.mutable_digests()->Reserve(static_cast<int>(hashes.size()));
  for (const block::BlockHash& hash : hashes)
    request.add_digests(block::hash_value(hash));
}

// `matched` blocks were found of the question's. `digested` are its hashes if it named their
// digests.
Result<MatchedRun> run_from(const v1::MatchRun& run, std::span<const block::BlockHash> digested,
                            uint32_t matched) {
  MatchedRun out;
  out.first = run.first();
  out.count = run.count();
  if (out.first > matched || out.count > matched - out.first)
    return router_nonsense("a run's range");
  if (!run.anchor().empty()) {
    const auto anchor = block::BlockHash::from(run.anchor());
    if (!anchor) return router_nonsense("an anchor");
    out.anchor = *anchor;
  } else if (!digested.empty() && run.first_index() == 0 && out.count > 0) {
    out.anchor = digested[out.first];
  }
  out.first_index = run.first_index();
  for (const uint32_t holder : run.holders())
    out.holders.push_back(ServerId{holder});
  out.tier = tier_name(run.tier());
  out.estimated_us = run.estimated_us();
  return out;
}

}  // namespace

Result<ring::ClusterConfig> RpcRouter::get_config(Instant deadline) {
  TARN_ASSIGN_OR_RETURN(const auto config,
                        x_channels.call<v1::Cluster>(&v1::Cluster::Stub::GetConfig,
                                                     v1::GetConfigRequest(), deadline));
  return rpc::from_proto(config);
}

Result<SpaceId> RpcRouter::open_space(const block::SpaceSpec& spec, Instant deadline) {
  v1::OpenSpaceRequest request;
  *request.mutable_spec() = rpc::to_proto(spec);
  TARN_ASSIGN_OR_RETURN(const auto answer, x_channels.call<v1::Spaces>(&v1::Spaces::Stub::OpenSpace,
                                                                       request, deadline));
  return rpc::space_id_from(answer.space());
}

Result<IssuedTicket> RpcRouter::issue_ticket(Instant deadline) {
  TARN_ASSIGN_OR_RETURN(auto answer,
                        x_channels.call<v1::Tickets>(&v1::Tickets::Stub::IssueTicket,
                                                     v1::IssueTicketRequest(), deadline));
  if (answer.ticket().empty() || answer.client_key().empty())
    return router_nonsense("an empty ticket");
  return IssuedTicket{std::move(*answer.mutable_ticket()), std::move(*answer.mutable_client_key()),
                      answer.expires_unix_ms()};
}

Result<std::vector<LocatedBlock>> RpcRouter::locate(const SpaceId& space,
                                                    std::span<const block::BlockHash> hashes,
                                                    Instant deadline) {
  TARN_CHECK(hashes.size() <= kMatchHashesMax);
  v1::LocateRequest request;
  request.set_space(rpc::to_bytes(space));
  for (const block::BlockHash& hash : hashes)
    request.add_hashes(std::string(hash.view()));
  TARN_ASSIGN_OR_RETURN(const auto answer,
                        x_channels.call<v1::Lookup>(&v1::Lookup::Stub::Locate, request, deadline));
  if (static_cast<size_t>(answer.blocks_size()) != hashes.size())
    return router_nonsense("Locate's size");
  std::vector<LocatedBlock> blocks(hashes.size());
  for (size_t i = 0; i < hashes.size(); ++i) {
    const v1::Located& located = answer.blocks(static_cast<int>(i));
    blocks[i].hash = hashes[i];
    if (located.anchor().empty()) continue;
    const auto anchor = block::BlockHash::from(located.anchor());
    if (!anchor || located.index() >= kExtentBlocksMax) return router_nonsense("a block's place");
    blocks[i].place = {{*anchor, located.index()}, located.last()};
  }
  return blocks;
}

Result<Matched> RpcRouter::match(const SpaceId& space, std::span<const block::BlockHash> hashes,
                                 uint32_t shards, Instant deadline) {
  TARN_CHECK(hashes.size() <= kMatchHashesMax);
  v1::MatchRequest request;
  for (uint32_t shard = 0; shard < shards; ++shard)
    request.add_shards(shard);
  request.set_space(rpc::to_bytes(space));
  const bool by_digests = hashes.size() >= kPackFrom && x_takes_digests.load();
  if (by_digests) {
    name_by_digests(hashes, request);
  } else {
    name_chain(hashes, request);
  }
  TARN_ASSIGN_OR_RETURN(const auto answer,
                        x_channels.call<v1::Lookup>(&v1::Lookup::Stub::Match, request, deadline));
  x_takes_digests.store(answer.takes_digests());
  // Another router than before, and older: it has seen no chain at all.
  if (by_digests && !answer.takes_digests()) return match(space, hashes, shards, deadline);
  if (answer.matched() > hashes.size()) return router_nonsense("Match's length");
  const auto digested = by_digests ? hashes : std::span<const block::BlockHash>();
  Matched matched;
  matched.count = answer.matched();
  matched.is_partial = answer.partial();
  for (const v1::MatchRun& run : answer.runs()) {
    TARN_ASSIGN_OR_RETURN(MatchedRun converted, run_from(run, digested, matched.count));
    matched.runs.push_back(std::move(converted));
  }
  return matched;
}

Status RpcRouter::report_misses(std::span<const MissedAt> missed, Instant deadline) {
  std::map<SpaceId, v1::ReportMissesRequest> requests;
  for (const MissedAt& miss : missed) {
    v1::MissedBlock* const block = requests[miss.space].add_missed();
    block->set_hash(std::string(miss.hash.view()));
    block->set_server(miss.server.value);
  }
  for (auto& [space, request] : requests) {
    request.set_space(rpc::to_bytes(space));
    TARN_RETURN_IF_ERROR(
        x_channels.call<v1::Lookup>(&v1::Lookup::Stub::ReportMisses, request, deadline).status());
  }
  return Status::ok();
}

Result<RouteChoice> RpcRouter::route(const SpaceId& space, const RouteQuery& query,
                                     Instant deadline) {
  v1::RouteRequest request;
  request.set_space(rpc::to_bytes(space));
  request.set_session_id(query.session_id);
  for (const BlockHash& hash : query.hashes)
    request.add_hashes(hash);
  request.set_new_tokens(query.new_tokens);
  for (const std::string& name : query.exclude)
    request.add_exclude(name);
  // That no worker is alive is an answer, which waiting does not change.
  const Instant soon = std::min(deadline, system_clock().now() + kRouteMost);
  TARN_ASSIGN_OR_RETURN(const auto answer,
                        x_channels.call<v1::Workers>(&v1::Workers::Stub::Route, request, soon));
  return RouteChoice{answer.worker(), answer.endpoint(), answer.cached_tokens(),
                     answer.estimated_fetch_us()};
}

}  // namespace tarn::sdk
