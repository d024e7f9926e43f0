#pragma once

#include <cstdint>

#include "common/base/clock.h"
#include "server/lane/lane_metrics.h"
#include "server/lane/peer.h"
#include "server/lane/replies.h"
#include "server/lane/view.h"
#include "server/store/tier.h"

namespace tarn::lane {

// Tickets end by the clocks of others.
inline constexpr Millis kTicketGrace{30'000};
// Tickets cannot be renewed while no router can be reached.
inline constexpr Millis kTicketGraceWithoutRouters{600'000};

// What the parts that serve one lane's requests share. One-thread (the lane's).
struct Desk {
  // Which lane it is of how many.
  struct Place {
    uint16_t lane = 0;
    uint16_t lane_count = 1;
  };

  Desk(Place place, const Clock& c, store::Tier& t, LaneMetrics& m)
      : lane(place.lane),
        lane_count(place.lane_count),
        clock(c),
        tier(t),
        metrics(m),
        replies(peers, m) {}

  const uint16_t lane;
  const uint16_t lane_count;
  const Clock& clock;
  store::Tier& tier;
  LaneMetrics& metrics;
  ClusterViewPtr view;  // null until the first config
  bool has_flash = false;
  bool has_below = false;  // flash or an object store: reads may take long
  // How long after their end tickets are honoured.
  Millis ticket_grace = kTicketGrace;
  Peers peers;
  Replies replies;

  Epoch epoch() const { return view == nullptr ? Epoch{0} : view->epoch(); }

  // Counted; answered if the peer is still there.
  void refuse(Peer& peer, wire::Route route, const Status& why) {
    replies.refuse(peer, route, {epoch(), why.code(), why.message()});
  }
};

// Requests wait at most this long, whatever they ask for.
inline constexpr Nanos kRequestTimeMax = std::chrono::seconds(60);
// A requester gives up at its deadline; what is still in flight after this is ended by force.
inline constexpr Nanos kForceCloseAfter = std::chrono::milliseconds(500);

// When a request has to end.
inline Instant deadline_of(const wire::RequestHead& head, Instant now) {
  const Nanos asked = std::chrono::microseconds(static_cast<int64_t>(head.deadline_us));
  return now + (asked < kRequestTimeMax ? asked : kRequestTimeMax);
}

}  // namespace tarn::lane
