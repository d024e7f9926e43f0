#include "common/ring/ring.h"

#include <xxhash.h>

#include <algorithm>
#include <map>
#include <string>

namespace tarn::ring {
namespace {

uint32_t point_count(uint32_t weight) {
  if (weight == 0) return 0;
  return std::max<uint32_t>(1, weight * kVirtualNodes / kWeightOne);
}

// Where the server's i-th virtual node stands: XXH3-64 of "tarn ring", id and i, both u32 little
// endian.
uint64_t point_position(ServerId id, uint32_t i) {
  std::array<uint8_t, 17> bytes = {'t', 'a', 'r', 'n', ' ', 'r', 'i', 'n', 'g'};
  for (uint32_t byte = 0; byte < 4; ++byte) {
    bytes[9 + byte] = static_cast<uint8_t>(id.value >> (8 * byte));
    bytes[13 + byte] = static_cast<uint8_t>(i >> (8 * byte));
  }
  return XXH3_64bits(bytes.data(), bytes.size());
}

bool takes_part(const Member& member, bool with_draining) {
  if (member.weight == 0) return false;
  return member.state == MemberState::up ||
         (with_draining && member.state == MemberState::draining);
}

// The owners found so far, and the servers met that must wait until domains have run out.
struct Found {
  OwnerList owners;
  OwnerList spare;
  std::array<uint32_t, kOwnersMax> domains{};

  bool has_domain(uint32_t domain) const {
    const auto* end = domains.begin() + owners.size();
    return std::find(domains.begin(), end, domain) != end;
  }
};

}  // namespace

bool OwnerList::contains(ServerId id) const {
  return std::find(begin(), end(), id) != end();
}

Ring::Circle Ring::draw(const ClusterConfig& config, bool with_draining) {
  Circle circle;
  std::map<std::string, uint32_t> domains;
  for (const Member& member : config.members) {
    if (!takes_part(member, with_draining)) continue;
    const auto next_domain = static_cast<uint32_t>(domains.size());
    const uint32_t domain = domains.emplace(domain_of(member), next_domain).first->second;
    const auto server_index = static_cast<uint32_t>(circle.servers.size());
    circle.servers.push_back({member.id, domain});
    for (uint32_t i = 0; i < point_count(member.weight); ++i)
      circle.points.push_back({point_position(member.id, i), server_index});
  }
  circle.domain_count = static_cast<uint32_t>(domains.size());
  // Equal positions are settled by id, never by the order in which members are listed.
  std::sort(circle.points.begin(), circle.points.end(), [&](const Point& a, const Point& b) {
    if (a.position != b.position) return a.position < b.position;
    return circle.servers[a.server_index].id < circle.servers[b.server_index].id;
  });
  return circle;
}

Result<Ring> Ring::build(const ClusterConfig& config) {
  TARN_RETURN_IF_ERROR(validate(config));
  Ring ring;
  ring.x_epoch = config.epoch;
  ring.x_writes = draw(config, false);
  const bool anyone_drains =
      std::any_of(config.members.begin(), config.members.end(),
                  [](const Member& member) { return member.state == MemberState::draining; });
  if (anyone_drains) ring.x_reads = draw(config, true);
  return ring;
}

OwnerList Ring::walk(const Circle& circle, Position position, uint32_t count) {
  const auto servers = static_cast<uint32_t>(circle.servers.size());
  const uint32_t wanted = std::min({count, kOwnersMax, servers});
  const uint32_t wanted_domains = std::min(wanted, circle.domain_count);
  Found found;
  const auto from =
      std::lower_bound(circle.points.begin(), circle.points.end(), position.value,
                       [](const Point& point, uint64_t value) { return point.position < value; });
  auto at = static_cast<size_t>(from - circle.points.begin());
  for (size_t seen = 0; seen < circle.points.size(); ++seen, ++at) {
    const bool domains_done = found.owners.size() >= wanted_domains;
    if (domains_done && found.owners.size() + found.spare.size() >= wanted) break;
    if (at == circle.points.size()) at = 0;
    const Server& server = circle.servers[circle.points[at].server_index];
    if (!found.has_domain(server.domain_index)) {
      found.domains[found.owners.size()] = server.domain_index;
      found.owners.push_back(server.id);
    } else if (!found.owners.contains(server.id) && !found.spare.contains(server.id) &&
               found.spare.size() < wanted) {
      found.spare.push_back(server.id);
    }
  }
  for (uint32_t i = 0; found.owners.size() < wanted; ++i)
    found.owners.push_back(found.spare[i]);
  TARN_DCHECK(found.owners.size() == wanted);
  return found.owners;
}

}  // namespace tarn::ring
