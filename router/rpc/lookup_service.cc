#include "router/rpc/lookup_service.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/units.h"
#include "common/block/space.h"
#include "common/rpc/convert.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/router.grpc.pb.h"
#include "router/index/cost.h"

namespace tarn::router {
namespace {

// A chain's hashes, checked. What the query points at lives as long as this and the request.
struct Question {
  index::ChainQuery query;
  std::vector<block::BlockHash> hashes;
  std::vector<uint32_t> shards;

  uint32_t shard_count() const { return std::max<uint32_t>(1, uint32_t(shards.size())); }
};

template <typename Request>
Status read_chain(const Request& request, Question& question) {
  TARN_ASSIGN_OR_RETURN(question.query.space, rpc::space_id_from(request.space()));
  if (request.hashes_size() > int{kMatchHashesMax}) {
    return invalid_argument("hashes: at most " + std::to_string(kMatchHashesMax) + ", got " +
                            std::to_string(request.hashes_size()));
  }
  question.hashes.reserve(static_cast<size_t>(request.hashes_size()));
  for (const std::string& bytes : request.hashes()) {
    auto hash = block::BlockHash::from(bytes);
    if (!hash) {
      return invalid_argument("hashes[" + std::to_string(question.hashes.size()) +
                              "]: expected 1 to 32 bytes, got " + std::to_string(bytes.size()));
    }
    question.hashes.push_back(*hash);
  }
  question.query.hashes = question.hashes;
  return Status::ok();
}

// The other way to name a chain; see router.proto.
Status read_packed(const v1::MatchRequest& request, Question& question) {
  const std::string_view packed = request.packed_hashes();
  if (packed.empty()) return Status::ok();
  if (request.hashes_size() > 0) return invalid_argument("packed_hashes: or hashes, not both");
  const size_t size = request.hash_bytes();
  if (size == 0 || size > kHashBytesMax || packed.size() % size != 0) {
    return invalid_argument("hash_bytes: expected 1 to 32 that packed_hashes, " +
                            std::to_string(packed.size()) + " bytes, is a multiple of; got " +
                            std::to_string(size));
  }
  if (packed.size() / size > kMatchHashesMax) {
    return invalid_argument("packed_hashes: at most " + std::to_string(kMatchHashesMax) +
                            " hashes, got " + std::to_string(packed.size() / size));
  }
  question.hashes.reserve(packed.size() / size);
  for (size_t at = 0; at < packed.size(); at += size) {
    TARN_ASSIGN_OR_RETURN(const auto hash, block::BlockHash::from(packed.substr(at, size)));
    question.hashes.push_back(hash);
  }
  question.query.hashes = question.hashes;
  return Status::ok();
}

// The third.
Status read_digests(const v1::MatchRequest& request, Question& question) {
  const auto& digests = request.digests();
  if (digests.empty()) return Status::ok();
  if (request.hashes_size() > 0 || !request.packed_hashes().empty()) {
    return invalid_argument("digests: or hashes, not both");
  }
  if (digests.size() > int{kMatchHashesMax}) {
    return invalid_argument("digests: at most " + std::to_string(kMatchHashesMax) + ", got " +
                            std::to_string(digests.size()));
  }
  question.query.digests = {digests.data(), static_cast<size_t>(digests.size())};
  return Status::ok();
}

Status read_shards(const v1::MatchRequest& request, Question& question) {
  if (request.shards_size() > int{block::kTensorParallelMax}) {
    return invalid_argument("shards: at most " + std::to_string(block::kTensorParallelMax));
  }
  question.shards.assign(request.shards().begin(), request.shards().end());
  for (const uint32_t shard : question.shards) {
    if (shard < block::kTensorParallelMax) continue;
    return invalid_argument("shards: expected less than " +
                            std::to_string(block::kTensorParallelMax) + ", got " +
                            std::to_string(shard));
  }
  question.query.shards = question.shards;
  return Status::ok();
}

void fill(const index::MatchRun& run, uint32_t shards, v1::MatchRun* message) {
  message->set_first(run.first);
  message->set_count(run.count);
  if (!run.anchor.is_empty()) message->set_anchor(run.anchor.view().data(), run.anchor.size);
  message->set_first_index(run.first_index);
  for (const ServerId holder : run.holders)
    message->add_holders(holder.value);
  message->set_tier(static_cast<v1::Tier>(run.tier));
  message->set_estimated_us(index::estimated_us(run, shards));
}

void fill(const index::Located& located, v1::Located* message) {
  if (located.holders.count == 0) return;
  message->set_anchor(located.anchor.view().data(), located.anchor.size);
  message->set_index(located.index);
  message->set_last(located.last);
  for (const ServerId holder : located.holders)
    message->add_holders(holder.value);
}

class LookupService final : public v1::Lookup::CallbackService {
 public:
  explicit LookupService(LookupOptions options)
      : x_options(std::move(options)),
        x_match_seconds(x_options.registry->histogram("tarn_match_seconds",
                                                      "Time inside the router for one Match.")),
        x_matched_blocks(x_options.registry->counter("tarn_match_blocks_total",
                                                     "Blocks of the prefixes that were found.")) {
    TARN_CHECK(x_options.index != nullptr && x_options.config != nullptr);
    TARN_CHECK(x_options.authenticator != nullptr && x_options.is_synced && x_options.doubt);
  }

  grpc::ServerUnaryReactor* Match(grpc::CallbackServerContext* call,
                                  const v1::MatchRequest* request,
                                  v1::MatchResponse* response) override {
    auto* const reactor = call->DefaultReactor();
    reactor->Finish(rpc::to_grpc(match(*call, *request, *response)));
    return reactor;
  }

  grpc::ServerUnaryReactor* Locate(grpc::CallbackServerContext* call,
                                   const v1::LocateRequest* request,
                                   v1::LocateResponse* response) override {
    auto* const reactor = call->DefaultReactor();
    reactor->Finish(rpc::to_grpc(locate(*call, *request, *response)));
    return reactor;
  }

  grpc::ServerUnaryReactor* ReportMisses(grpc::CallbackServerContext* call,
                                         const v1::ReportMissesRequest* request,
                                         v1::ReportMissesResponse* response) override {
    auto* const reactor = call->DefaultReactor();
    reactor->Finish(rpc::to_grpc(report(*call, *request, *response)));
    return reactor;
  }

 private:
  // Sets the query's tenant from the credential.
  Status identify(const grpc::CallbackServerContext& call, Question& question) const {
    TARN_ASSIGN_OR_RETURN(const auto caller, x_options.authenticator->caller(call));
    if (caller.role != auth::Role::tenant && caller.role != auth::Role::worker) {
      return permission_denied("Lookup: for tenants and their workers, not for " +
                               auth::identity_uri(caller));
    }
    question.query.tenant = block::tenant_id(caller.tenant);
    return Status::ok();
  }

  uint64_t epoch() const {
    const cluster::ConfigSnapshot config = x_options.config->current();
    return config ? config->epoch.value : 0;
  }

  Status match(const grpc::CallbackServerContext& call, const v1::MatchRequest& request,
               v1::MatchResponse& response) {
    const Instant begin = x_options.clock->now();
    Question question;
    TARN_RETURN_IF_ERROR(identify(call, question));
    TARN_RETURN_IF_ERROR(read_chain(request, question));
    TARN_RETURN_IF_ERROR(read_packed(request, question));
    TARN_RETURN_IF_ERROR(read_digests(request, question));
    TARN_RETURN_IF_ERROR(read_shards(request, question));
    // Asked first: what the index lacks now may have come by the time of the answer.
    response.set_partial(!x_options.is_synced());
    response.set_takes_digests(true);
    const index::MatchAnswer answer = x_options.index->match(question.query);
    response.set_matched(answer.matched);
    for (const index::MatchRun& run : answer.runs)
      fill(run, question.shard_count(), response.add_runs());
    response.set_epoch(epoch());
    x_matched_blocks.add(answer.matched);
    x_match_seconds.record(x_options.clock->now() - begin);
    return Status::ok();
  }

  Status locate(const grpc::CallbackServerContext& call, const v1::LocateRequest& request,
                v1::LocateResponse& response) {
    Question question;
    TARN_RETURN_IF_ERROR(identify(call, question));
    TARN_RETURN_IF_ERROR(read_chain(request, question));
    response.set_partial(!x_options.is_synced());
    for (const index::Located& located : x_options.index->locate(question.query))
      fill(located, response.add_blocks());
    response.set_epoch(epoch());
    return Status::ok();
  }

  // What the index has elsewhere, or not at all, needs no mending.
  Status report(const grpc::CallbackServerContext& call, const v1::ReportMissesRequest& request,
                v1::ReportMissesResponse& response) {
    Question question;
    TARN_RETURN_IF_ERROR(identify(call, question));
    TARN_ASSIGN_OR_RETURN(question.query.space, rpc::space_id_from(request.space()));
    if (request.missed_size() > kReportedMissesMax) {
      return invalid_argument("missed: at most " + std::to_string(kReportedMissesMax) + ", got " +
                              std::to_string(request.missed_size()));
    }
    std::vector<ServerId> servers;
    for (const v1::MissedBlock& missed : request.missed()) {
      const auto hash = block::BlockHash::from(missed.hash());
      if (!hash) {
        return invalid_argument("missed[" + std::to_string(servers.size()) +
                                "].hash: expected 1 to 32 bytes, got " +
                                std::to_string(missed.hash().size()));
      }
      question.hashes.push_back(*hash);
      servers.push_back({missed.server()});
    }
    question.query.hashes = question.hashes;
    const auto doubts = x_options.index->doubts(question.query, servers);
    response.set_doubted(static_cast<uint32_t>(doubts.size()));
    x_options.doubt(doubts);
    return Status::ok();
  }

  const LookupOptions x_options;
  metrics::Histogram& x_match_seconds;
  metrics::Counter& x_matched_blocks;
};

}  // namespace

std::unique_ptr<grpc::Service> make_lookup_service(LookupOptions options) {
  return std::make_unique<LookupService>(std::move(options));
}

}  // namespace tarn::router
