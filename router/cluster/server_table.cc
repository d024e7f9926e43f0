#include "router/cluster/server_table.h"

#include <algorithm>

#include "common/auth/identity.h"
#include "common/base/check.h"
#include "common/base/result.h"
#include "common/base/units.h"

namespace tarn::cluster {
namespace {

constexpr size_t kEndpointBytesMax = 256;

Status check_beat(const ServerBeat& beat) {
  TARN_RETURN_IF_ERROR(auth::make_identity(auth::Role::server, beat.name).status());
  const std::string& endpoint = beat.control_endpoint;
  if (endpoint.size() > kEndpointBytesMax || endpoint.find(':') == std::string::npos) {
    return invalid_argument("control_endpoint: is not HOST:PORT");
  }
  if (beat.incarnation == Incarnation{}) return invalid_argument("incarnation: is 0");
  if (beat.weight > ring::kWeightMax) return invalid_argument("weight: above 1000");
  if (beat.domain.size() > kNameBytesMax) return invalid_argument("domain: longer than 128 bytes");
  if (beat.lanes == 0 || beat.lanes > ring::kLanesMax) {
    return invalid_argument("lanes: must be 1 to 1024");
  }
  if (beat.caught_up_slots.size() > kSessionSlots) {
    return invalid_argument("caught_up_slots: more than 1024");
  }
  return Status::ok();
}

}  // namespace

Status ServerTable::beat(const ServerBeat& beat) {
  TARN_RETURN_IF_ERROR(check_beat(beat));
  const Instant now = x_clock.now();
  MutexLock lock(x_mutex);
  const auto found = x_entries.find(beat.name);
  if (found == x_entries.end()) {
    if (!make_room(now)) return overloaded("1024 storage servers beat already");
    x_entries[beat.name] = {{beat, now, now}, false};
    return Status::ok();
  }
  Entry& entry = found->second;
  const bool was_silent = is_silent(entry, now);
  const bool is_another = entry.heard.beat.incarnation != beat.incarnation;
  if (is_another && !was_silent && !entry.has_parted) {
    return already_exists("another server beats under the name " + beat.name);
  }
  if (was_silent || is_another) entry.heard.first_heard = now;
  entry.heard.beat = beat;
  entry.heard.last_heard = now;
  entry.has_parted = false;
  return Status::ok();
}

void ServerTable::part(const std::string& name, Incarnation incarnation) {
  MutexLock lock(x_mutex);
  const auto found = x_entries.find(name);
  if (found == x_entries.end()) return;
  if (found->second.heard.beat.incarnation == incarnation) found->second.has_parted = true;
}

std::vector<HeardServer> ServerTable::all() const {
  MutexLock lock(x_mutex);
  std::vector<HeardServer> out;
  out.reserve(x_entries.size());
  for (const auto& [name, entry] : x_entries)
    out.push_back(entry.heard);
  return out;
}

bool ServerTable::is_silent(const Entry& entry, Instant now) const {
  return now - entry.heard.last_heard >= x_dead_after;
}

bool ServerTable::make_room(Instant now) {
  TARN_CHECK(x_entries.size() <= kServersMax);
  if (x_entries.size() < kServersMax) return true;
  const auto longest =
      std::min_element(x_entries.begin(), x_entries.end(), [](const auto& a, const auto& b) {
        return a.second.heard.last_heard < b.second.heard.last_heard;
      });
  if (!is_silent(longest->second, now)) return false;
  x_entries.erase(longest);
  return true;
}

}  // namespace tarn::cluster
