#pragma once

#include <cstdint>
#include <functional>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "sdk/cpp/src/rpc_router.h"

namespace tarn::sdk {

// How long after its end a ticket is still shown where no router gives another: servers that have
// lost the routers too honour it, the others refuse it.
inline constexpr int64_t kEndedTicketMostMs = 600'000;
// Between two questions for a new ticket while the old one will do.
inline constexpr Nanos kTicketAskPause = std::chrono::seconds(1);

// The client's ticket, renewed at half of its life. Thread-safe.
class TicketCache {
 public:
  // Asks a router; blocks until the deadline at most.
  using Issue = std::function<Result<IssuedTicket>(Instant deadline)>;

  explicit TicketCache(Issue issue, const Clock& clock = system_clock())
      : x_issue(std::move(issue)), x_clock(clock) {}

  // Blocks until `deadline` at most, and half as long while there is a ticket that may do: one past
  // its half, or ended up to kEndedTicketMostMs ago. That one is given where no router answers.
  // Returns: the ticket, or what the routers say.
  Result<IssuedTicket> get(Instant deadline);
  // A server refused it: the next get() asks for another, and gives no old one.
  void drop();

  // Is it time to call get(), so that nobody waits for it later?
  bool is_due() const;
  // When the newest ticket ends, in Unix ms; 0: there is none.
  int64_t expires_unix_ms() const;

 private:
  const Issue x_issue;
  const Clock& x_clock;
  mutable Mutex x_mutex;
  IssuedTicket x_ticket TARN_GUARDED_BY(x_mutex);
  int64_t x_renew_at_ms TARN_GUARDED_BY(x_mutex) = 0;
  Instant x_ask_again_at TARN_GUARDED_BY(x_mutex);
};

}  // namespace tarn::sdk
