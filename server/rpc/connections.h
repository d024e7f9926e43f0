#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/auth/identity.h"
#include "common/auth/ticket.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/fabric/offer.h"
#include "server/lane/lane.h"
#include "server/lane/view.h"

namespace tarn::server {

// What this server can offer itself, next to its lanes' ports.
struct FabricTerms {
  std::string ucx_version;  // empty: no ucx
  std::string ucx_settings;
  std::string ucx_shm_settings;  // empty: not trusted
  std::string host;
  std::string local_version;  // empty: no local fabric
  std::string local_folder;
  std::string local_host;
};

// What Connect answers.
struct Wired {
  uint64_t connection_id = 0;
  std::array<uint8_t, 16> nonce{};
  Epoch epoch;
  fabric::Kind fabric = fabric::Kind::grpc;
  std::vector<std::string> lane_addresses;  // empty for grpc
  std::string transport;
  std::string refused_offers;
};

struct ConnectionsOptions {
  std::vector<lane::Lane*> lanes;  // outlive this
  FabricTerms terms;
  Incarnation incarnation;
  const Clock* clock = &system_clock();
};

// The wire-up of bulk connections: judges the ticket, agrees on a fabric and tells every lane.
// Thread-safe; connect waits for the lanes, kLaneTimeout at most for each.
class Connections {
 public:
  static constexpr Nanos kLaneTimeout = std::chrono::seconds(2);
  static constexpr size_t kOffersMax = 8;

  explicit Connections(ConnectionsOptions options) : x_options(std::move(options)) {}

  // The config whose keys and revocations tickets are held against.
  void set_view(lane::ClusterViewPtr view);
  void set_ticket_grace(Millis grace);

  // `caller` is whom the credential of the call names; the ticket must be his.
  // Returns: the connection, invalid_argument, unauthenticated, permission_denied, unavailable (no
  // config yet), unsupported (none of the offers; says why), overloaded.
  Result<Wired> connect(const auth::Identity& caller, const std::string& ticket,
                        const std::vector<fabric::Offer>& offers);

  // Ends the connection on all lanes, if the ticket is the one it was made with (or its successor,
  // of the same holder).
  Status disconnect(const auth::Identity& caller, uint64_t connection_id);

 private:
  struct Judged {
    auth::Ticket ticket;
    std::string client_key;
    Epoch epoch;
  };
  Result<Judged> judge(const auth::Identity& caller, const std::string& ticket) const;
  // Empty when the offer can be taken, else why not.
  std::string objection(const fabric::Offer& offer) const;
  std::string objection_to_local(const fabric::Offer& offer) const;
  Status add_to_lanes(const lane::PeerSpec& spec);
  void fill_ports(fabric::Kind kind, Wired& wired) const;

  const ConnectionsOptions x_options;
  mutable Mutex x_mutex;
  lane::ClusterViewPtr x_view TARN_GUARDED_BY(x_mutex);
  Millis x_grace TARN_GUARDED_BY(x_mutex) = lane::kTicketGrace;
};

}  // namespace tarn::server
