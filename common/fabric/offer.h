#pragma once

#include <string>

#include "common/fabric/fabric.h"

namespace tarn::fabric {

// One way in which a requester can move bytes: one of its ports. A FabricOffer of the protocol.
struct Offer {
  Kind kind = Kind::grpc;
  std::string version;
  std::string settings;
  std::string address;
  std::string host;
};

}  // namespace tarn::fabric
