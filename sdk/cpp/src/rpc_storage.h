#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/fabric/offer.h"
#include "sdk/cpp/src/credentials_dir.h"
#include "sdk/cpp/src/rpc_router.h"

namespace tarn::sdk {

// A gRPC channel, for whoever must not see gRPC.
struct ServerChannel;

// What a storage server agreed to.
struct Wireup {
  uint64_t connection_id = 0;
  std::array<uint8_t, 16> nonce{};
  Incarnation incarnation;
  Epoch epoch;
  fabric::Kind fabric = fabric::Kind::grpc;
  std::vector<std::string> lane_addresses;  // one for each lane
  uint32_t credits = 0;
  uint64_t credit_bytes = 0;
  bool pieces = false;        // it knows requests for pieces of blocks
  bool flash_puts = false;    // it keeps blocks on flash where that is asked for
  bool sampled_puts = false;  // it makes the checksums of what it copies out of this process
  std::string refused_offers;
  std::string transport;
  std::string client_key;  // of the ticket that was shown
  int64_t ticket_expires_unix_ms = 0;
  std::shared_ptr<ServerChannel> channel;
};

// Lanes of one server that a client believes in.
inline constexpr uint32_t kServerLanesMax = 1024;

// StorageControl of storage servers. Thread-safe; calls block until their deadline at most.
class RpcStorage {
 public:
  explicit RpcStorage(std::shared_ptr<const CredentialSource> source)
      : x_source(std::move(source)) {}

  // Shows the ticket and agrees on a fabric. Returns: ok, unavailable, deadline_exceeded,
  // unauthenticated, permission_denied, internal (the answer makes no sense).
  Result<Wireup> connect(const std::string& endpoint, const IssuedTicket& ticket,
                         const std::vector<fabric::Offer>& offers, Instant deadline);

  // Tells the server that a connection is over; whether it hears it is of no matter.
  void disconnect(const Wireup& wireup, Instant deadline);

 private:
  const std::shared_ptr<const CredentialSource> x_source;
};

struct LaneOptions {
  uint32_t lane = 0;
  uint64_t link = 0;
  fabric::LostHandler on_lost;
};

// Connects to one lane of a wired-up server. One-thread (the port's). Returns: as Port::connect.
Result<std::unique_ptr<fabric::Connection>> connect_lane(fabric::Port& port, const Wireup& wireup,
                                                         LaneOptions lane);

}  // namespace tarn::sdk
