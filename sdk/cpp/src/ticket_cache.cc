#include "sdk/cpp/src/ticket_cache.h"

#include <algorithm>

namespace tarn::sdk {
namespace {

bool is_silence(Code code) {
  return code == Code::unavailable || code == Code::overloaded || code == Code::deadline_exceeded;
}

}  // namespace

Result<IssuedTicket> TicketCache::get(Instant deadline) {
  const Instant now = x_clock.now();
  const int64_t now_ms = x_clock.unix_ms();
  IssuedTicket have;
  bool will_do = false;
  {
    const MutexLock lock(x_mutex);
    have = x_ticket;
    will_do = !have.bytes.empty() && now_ms < have.expires_unix_ms + kEndedTicketMostMs;
    const bool may_ask = now_ms >= x_renew_at_ms && now >= x_ask_again_at;
    if (will_do && !may_ask) return have;
  }
  auto issued = x_issue(will_do ? now + (deadline - now) / 2 : deadline);
  const MutexLock lock(x_mutex);
  if (!issued) {
    if (!will_do || !is_silence(issued.error().code())) return issued.error();
    x_ask_again_at = x_clock.now() + kTicketAskPause;
    return have;
  }
  x_ticket = *issued;
  x_renew_at_ms = now_ms + std::max<int64_t>(issued->expires_unix_ms - now_ms, 0) / 2;
  x_ask_again_at = {};
  return issued;
}

void TicketCache::drop() {
  const MutexLock lock(x_mutex);
  x_ticket = {};
  x_renew_at_ms = 0;
  x_ask_again_at = {};
}

bool TicketCache::is_due() const {
  const MutexLock lock(x_mutex);
  return x_clock.unix_ms() >= x_renew_at_ms && x_clock.now() >= x_ask_again_at;
}

int64_t TicketCache::expires_unix_ms() const {
  const MutexLock lock(x_mutex);
  return x_ticket.expires_unix_ms;
}

}  // namespace tarn::sdk
