#include "server/lane/turns.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace tarn::lane {

Turns::Flow::~Flow() {
  if (x_turns != nullptr) x_turns->leave(*this);
}

Turns::Turns() = default;

Turns::~Turns() {
  TARN_CHECK(tenants() == 0);
}

size_t Turns::tenants() const {
  size_t count = 0;
  for (const Class& each : x_classes)
    count += each.tenants.size();
  return count;
}

void Turns::join(Flow& flow, Rank rank, const TenantId& tenant) {
  TARN_CHECK(flow.x_turns == nullptr);
  flow.x_turns = this;
  flow.x_rank = rank;
  flow.x_tenant = &class_of(flow).tenants[tenant];
  flow.x_tenant->id = tenant;
  ++flow.x_tenant->flows;
}

void Turns::leave(Flow& flow) {
  if (flow.x_turns == nullptr) return;
  TARN_CHECK(flow.x_turns == this);
  rest(flow);
  if (flow.x_bytes > 0 && !flow.x_is_stalled) uncount(flow);
  flow.x_bytes = 0;
  flow.x_is_stalled = false;
  Tenant& tenant = *flow.x_tenant;
  if (--tenant.flows == 0) {
    TARN_CHECK(tenant.bytes == 0);
    class_of(flow).tenants.erase(TenantId(tenant.id));
  }
  flow.x_tenant = nullptr;
  flow.x_turns = nullptr;
}

void Turns::ask(Flow& flow) {
  if (flow.x_turns == nullptr || flow.x_asks) return;
  flow.x_asks = true;
  line_up(flow);
}

void Turns::rest(Flow& flow) {
  if (flow.x_turns == nullptr || !flow.x_asks) return;
  flow.x_asks = false;
  withdraw(flow);
}

void Turns::line_up(Flow& flow) {
  if (!flow.x_asks || flow.x_is_stalled) return;
  Tenant& tenant = *flow.x_tenant;
  tenant.asking.add(flow);
  if (!TurnRing<Tenant>::holds(tenant)) class_of(flow).asking.add(tenant);
}

void Turns::withdraw(Flow& flow) {
  if (!TurnRing<Flow>::holds(flow)) return;
  Tenant& tenant = *flow.x_tenant;
  tenant.asking.remove(flow);
  if (tenant.asking.empty()) class_of(flow).asking.remove(tenant);
}

bool Turns::do_betters_ask(Rank rank) const {
  for (size_t better = 0; better < static_cast<size_t>(rank); ++better) {
    if (!x_classes[better].asking.empty()) return true;
  }
  return false;
}

// Whoever is at its limit is passed over: what it leaves is for others, and a tenant with nothing
// on its way never waits.
bool Turns::has_room(const Tenant& tenant, uint64_t left) const {
  if (tenant.bytes == 0) return true;
  return x_bytes < kWindowBytes && tenant.bytes + left <= kWindowBytes - x_bytes;
}

Turns::Flow* Turns::pick(Class& of) {
  const auto rank = static_cast<Rank>(&of - x_classes.data());
  if (do_betters_ask(rank) && of.bytes >= kBehindBytes) return nullptr;
  Flow* picked = nullptr;
  Tenant* const tenant = of.asking.pick([&](Tenant& each) {
    // A tenant at its limit is one question, however many connections it has.
    if (!has_room(each, 0)) return false;
    // One of several leaves the others a part of what their tenant may have.
    picked = each.asking.pick([&](const Flow& flow) {
      return has_room(each, each.asking.size() > 1 ? flow.x_bytes / 3 : 0);
    });
    return picked != nullptr;
  });
  return tenant == nullptr ? nullptr : picked;
}

Turns::Flow* Turns::next() {
  for (Class& each : x_classes) {
    if (each.owed <= 0 || each.asking.empty()) continue;
    if (Flow* const flow = pick(each)) return flow;
  }
  for (Class& each : x_classes) {
    if (each.asking.empty()) continue;
    if (Flow* const flow = pick(each)) return flow;
  }
  return nullptr;
}

void Turns::begin(Flow& flow, uint64_t bytes) {
  if (flow.x_turns == nullptr) return;
  Tenant& tenant = *flow.x_tenant;
  tenant.asking.charge(flow, bytes);
  class_of(flow).asking.charge(tenant, bytes);
  charge_classes(flow, bytes);
  const bool is_first = flow.x_bytes == 0;
  flow.x_bytes += bytes;
  // Of a stalled one, whose read took its time, nothing counts.
  if (flow.x_is_stalled) return;
  if (is_first) {
    flow.x_moved = x_now;
    x_underway.push_back(flow);
  }
  count(flow, bytes);
}

// A lower rank that asks is owed its part of all that goes; what it sends before its betters is
// taken from that.
void Turns::charge_classes(const Flow& flow, uint64_t bytes) {
  const auto part = static_cast<int64_t>(bytes / kFloor);
  for (size_t rank = 1; rank < kRanks; ++rank) {
    Class& each = x_classes[rank];
    if (!each.asking.empty()) each.owed = std::min(each.owed + part, TurnRing<Flow>::kQuantum);
  }
  if (!do_betters_ask(flow.x_rank)) return;
  // What its betters could not use is no debt that lasts.
  int64_t& owed = class_of(flow).owed;
  owed = std::max(owed - static_cast<int64_t>(bytes), -TurnRing<Flow>::kQuantum);
}

void Turns::end(Flow& flow, uint64_t bytes) {
  if (flow.x_turns == nullptr) return;
  TARN_CHECK(flow.x_bytes >= bytes);
  const bool was_stalled = std::exchange(flow.x_is_stalled, false);
  if (!was_stalled) uncount(flow);
  flow.x_bytes -= bytes;
  flow.x_moved = x_now;
  if (flow.x_bytes > 0) {
    x_underway.push_back(flow);
    count(flow, flow.x_bytes);
  }
  if (was_stalled) line_up(flow);
}

void Turns::count(Flow& flow, uint64_t bytes) {
  flow.x_tenant->bytes += bytes;
  class_of(flow).bytes += bytes;
  x_bytes += bytes;
}

void Turns::uncount(Flow& flow) {
  TARN_CHECK(x_bytes >= flow.x_bytes && flow.x_tenant->bytes >= flow.x_bytes);
  flow.x_tenant->bytes -= flow.x_bytes;
  class_of(flow).bytes -= flow.x_bytes;
  x_bytes -= flow.x_bytes;
  x_underway.remove(flow);
}

size_t Turns::tick(Instant now) {
  x_now = now;
  size_t stalled = 0;
  while (!x_underway.empty() && now - x_underway.front().x_moved > kStalledAfter) {
    Flow& flow = x_underway.front();
    uncount(flow);
    withdraw(flow);
    flow.x_is_stalled = true;
    ++stalled;
  }
  return stalled;
}

}  // namespace tarn::lane
