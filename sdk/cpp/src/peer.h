#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/fabric/link.h"
#include "common/ring/config.h"
#include "sdk/cpp/src/rpc_storage.h"

namespace tarn::sdk {

// A server that owes answers and says nothing for this long is taken for dead; a third of it before
// it is asked by a ping. Transfers with less time left make it shorter.
inline constexpr Nanos kSilenceMost = std::chrono::seconds(1);
inline constexpr Nanos kSilenceLeast = std::chrono::milliseconds(250);

// The way to one lane of a server. Lives until its link is idle. One-thread (the io loop's).
struct Lane {
  uint64_t number = 0;  // of the link, in its port's messages
  ServerId server;
  std::unique_ptr<fabric::Link> link;
  fabric::PingOp ping;
  bool is_pinging = false;
  Instant asked;         // when the ping began
  bool is_mute = false;  // a ping went unanswered
  Instant heard;         // when the server last said anything, or owed nothing
  Nanos silence = kSilenceMost;
};

// One storage server, as the io thread knows it. One-thread (the io loop's).
//   idle -> connecting -> up -> down -> connecting ...
struct Peer {
  enum class State : uint8_t { idle, connecting, up, down };

  ring::Member member;
  State state = State::idle;
  uint64_t attempt = 0;         // which Connect is awaited
  uint32_t failures = 0;        // in a row
  bool was_mute = false;        // it was lost for its silence
  bool was_lost = false;        // since it was last heard: others are asked first
  bool has_spoken = false;      // on this connection
  Instant retry_at;             // when down
  uint32_t barred_kinds = 0;    // fabrics that have led nowhere, as bits
  std::optional<Status> reset;  // to be closed on the next turn
  bool wants_ticket = false;    // the server did not take the last one
  Instant renew_at = kNever;    // from then on it connects anew with a newer ticket, when idle
  Status last_error;
  Wireup wireup;
  std::vector<std::unique_ptr<Lane>> lanes;

  // It copies puts out of this process's memory, and takes the checksum in that pass.
  bool sums_puts() const { return wireup.fabric == fabric::Kind::local && wireup.sampled_puts; }

  bool bars(fabric::Kind kind) const { return (barred_kinds >> static_cast<uint32_t>(kind)) & 1; }
  void bar(fabric::Kind kind) { barred_kinds |= 1u << static_cast<uint32_t>(kind); }
};

}  // namespace tarn::sdk
