#pragma once

#include <cstdint>
#include <unordered_map>

#include "common/fabric/fabric.h"
#include "common/fabric/link.h"

namespace tarn::fabric {

// Brings the replies that reach a port to the Link that they answer: by the link's number where the
// fabric can tell the peer, else by the connection and lane in the header. Owns no link.
// One-thread (the port's). Life: add after a link was opened, remove before it is destroyed.
class LinkTable {
 public:
  // `number`: that of ConnectOptions::link; not 0, not in use.
  void add(uint64_t number, Link& link);
  void remove(uint64_t number);

  // A Handler for ports that get replies only; returns false when no link is meant: counted, and
  // the payload dropped. Where requests arrive as well, the caller tells them apart by
  // wire::decode_envelope and wire::is_request.
  bool on_message(uint64_t number, Bytes header, Payload& payload);

  uint64_t unrouted() const { return x_unrouted; }
  size_t size() const { return x_by_number.size(); }

 private:
  Link* find(uint64_t number, Bytes header) const;

  std::unordered_map<uint64_t, Link*> x_by_number;
  uint64_t x_unrouted = 0;
};

}  // namespace tarn::fabric
