#include "sdk/cpp/src/rpc_storage.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/fabric/grpc_port.h"
#include "common/rpc/convert.h"
#include "proto/tarn/v1/storage.grpc.pb.h"
#include "sdk/cpp/src/rpc_channels.h"

namespace tarn::sdk {

struct ServerChannel {
  std::shared_ptr<grpc::Channel> channel;
};

namespace {

// A block of the largest size, with its header and framing.
constexpr int kBulkMessageBytesMax = 65 << 20;

struct KindName {
  fabric::Kind kind;
  v1::FabricKind name;
};
// The loop has no name of its own: only tests offer it.
constexpr KindName kKinds[] = {{fabric::Kind::loop, v1::FABRIC_KIND_UNSPECIFIED},
                               {fabric::Kind::grpc, v1::FABRIC_KIND_GRPC},
                               {fabric::Kind::ucx, v1::FABRIC_KIND_UCX},
                               {fabric::Kind::ucx_shm, v1::FABRIC_KIND_UCX_SHM},
                               {fabric::Kind::local, v1::FABRIC_KIND_LOCAL}};

v1::FabricKind name_of(fabric::Kind kind) {
  for (const KindName& known : kKinds)
    if (known.kind == kind) return known.name;
  return v1::FABRIC_KIND_UNSPECIFIED;
}

v1::ConnectRequest request_of(const IssuedTicket& ticket,
                              const std::vector<fabric::Offer>& offers) {
  v1::ConnectRequest request;
  request.set_ticket(ticket.bytes);
  for (const fabric::Offer& offer : offers) {
    v1::FabricOffer& out = *request.add_offers();
    out.set_kind(name_of(offer.kind));
    out.set_version(offer.version);
    out.set_settings(offer.settings);
    out.set_address(offer.address);
    out.set_host(offer.host);
  }
  return request;
}

Status server_nonsense(const char* what) {
  return internal_error(std::string("a storage server answered nonsense: ") + what);
}

Status fill_fabric(const v1::ConnectResponse& answer, const std::vector<fabric::Offer>& offers,
                   Wireup& wireup) {
  const auto chosen = std::find_if(offers.begin(), offers.end(), [&](const fabric::Offer& offer) {
    return name_of(offer.kind) == answer.fabric();
  });
  if (chosen == offers.end()) return server_nonsense("a fabric that was not offered");
  wireup.fabric = chosen->kind;
  if (answer.lanes() < 1 || answer.lanes() > kServerLanesMax) return server_nonsense("its lanes");
  wireup.lane_addresses.assign(answer.lane_addresses().begin(), answer.lane_addresses().end());
  if (wireup.fabric == fabric::Kind::grpc) {
    wireup.lane_addresses.clear();
    for (uint32_t lane = 0; lane < answer.lanes(); ++lane)
      wireup.lane_addresses.push_back(std::to_string(lane));
  }
  if (wireup.lane_addresses.size() != answer.lanes())
    return server_nonsense("its lanes' addresses");
  return Status::ok();
}

Result<Wireup> wireup_from(const v1::ConnectResponse& answer,
                           const std::vector<fabric::Offer>& offers) {
  Wireup wireup;
  TARN_RETURN_IF_ERROR(fill_fabric(answer, offers, wireup));
  if (answer.nonce().size() != wireup.nonce.size()) return server_nonsense("its nonce");
  std::copy(answer.nonce().begin(), answer.nonce().end(), wireup.nonce.begin());
  if (answer.credits() == 0 || answer.credit_bytes() == 0) return server_nonsense("no credit");
  wireup.connection_id = answer.connection_id();
  wireup.incarnation = Incarnation{answer.incarnation()};
  wireup.epoch = Epoch{answer.epoch()};
  wireup.credits = answer.credits();
  wireup.credit_bytes = answer.credit_bytes();
  wireup.pieces = answer.pieces();
  wireup.sampled_puts = answer.sampled_puts();
  wireup.flash_puts = answer.flash_puts();
  wireup.refused_offers = answer.refused_offers();
  wireup.transport = answer.transport();
  return wireup;
}

Millis left_until(Instant deadline) {
  return std::max(std::chrono::ceil<Millis>(deadline - system_clock().now()), Millis(1));
}

}  // namespace

Result<Wireup> RpcStorage::connect(const std::string& endpoint, const IssuedTicket& ticket,
                                   const std::vector<fabric::Offer>& offers, Instant deadline) {
  TARN_CHECK(!offers.empty());
  if (TARN_FAULT_POINT("sdk.connect")) return unavailable("the server cannot be reached");
  TARN_ASSIGN_OR_RETURN(
      auto channel, rpc::open_channel(endpoint, auth::Role::server,
                                      tls_material(*x_source->current()), kBulkMessageBytesMax));
  grpc::ClientContext context;
  rpc::set_timeout(context, left_until(deadline));
  v1::ConnectResponse answer;
  const auto stub = v1::StorageControl::NewStub(channel);
  TARN_RETURN_IF_ERROR(
      rpc::from_grpc(stub->Connect(&context, request_of(ticket, offers), &answer)));
  TARN_ASSIGN_OR_RETURN(Wireup wireup, wireup_from(answer, offers));
  wireup.client_key = ticket.client_key;
  wireup.ticket_expires_unix_ms = ticket.expires_unix_ms;
  wireup.channel = std::make_shared<ServerChannel>(ServerChannel{std::move(channel)});
  return wireup;
}

void RpcStorage::disconnect(const Wireup& wireup, Instant deadline) {
  TARN_CHECK(wireup.channel != nullptr);
  grpc::ClientContext context;
  rpc::set_timeout(context, left_until(deadline));
  v1::DisconnectRequest request;
  request.set_connection_id(wireup.connection_id);
  v1::DisconnectResponse answer;
  (void)v1::StorageControl::NewStub(wireup.channel->channel)
      ->Disconnect(&context, request, &answer);
}

Result<std::unique_ptr<fabric::Connection>> connect_lane(fabric::Port& port, const Wireup& wireup,
                                                         LaneOptions lane) {
  TARN_CHECK(lane.lane < wireup.lane_addresses.size());
  fabric::ConnectOptions options;
  options.peer_address = wireup.lane_addresses[lane.lane];
  options.link = lane.link;
  options.on_lost = std::move(lane.on_lost);
  if (port.kind() != fabric::Kind::grpc) return port.connect(std::move(options));
  TARN_CHECK(wireup.channel != nullptr);
  return static_cast<fabric::GrpcPort&>(port).connect_over(wireup.channel->channel,
                                                           std::move(options));
}

}  // namespace tarn::sdk
