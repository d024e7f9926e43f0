#include "server/lane/backups.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/ring/position.h"

namespace tarn::lane {
namespace {

constexpr Nanos kRetryAfter = std::chrono::milliseconds(10);
constexpr Nanos kBackoffMin = std::chrono::milliseconds(20);
constexpr Nanos kBackoffMax = std::chrono::seconds(1);

bool may_pass(Code code) {
  return is_retryable(code) || code == Code::stale_epoch || code == Code::conflict ||
         code == Code::unauthenticated;
}

// Leaves the requester time to hear why.
Instant give_up_at(Instant now, Instant deadline) {
  return now + (deadline - now) / 5 * 4;
}

}  // namespace

Backups::Backups(Desk& desk, WireUp wire_up)
    : x_desk(desk), x_wire_up(std::move(wire_up)), x_alive(std::make_shared<Backups*>(this)) {}

Backups::~Backups() {
  TARN_CHECK(is_idle());
  *x_alive = nullptr;
}

void Backups::add_port(fabric::Port& port) {
  x_ports.push_back(&port);
}

bool Backups::is_up(ServerId id) const {
  if (x_desk.view == nullptr) return false;
  const ring::Member* member = ring::find_member(x_desk.view->config, id);
  return member != nullptr && member->state == ring::MemberState::up;
}

bool Backups::is_still_due(const FeedTry& attempt) const {
  if (attempt.op.head.epoch == x_desk.epoch()) return true;
  const auto count = static_cast<uint32_t>(attempt.feed->targets.size()) + 1;
  const auto owners = x_desk.view->ring.owners(attempt.feed->position, count);
  return !owners.empty() && owners.front() == x_desk.view->self && owners.contains(attempt.server);
}

void Backups::on_view() {
  for (auto& [id, server] : x_servers) {
    if (server.is_wired && !is_up(id)) server.is_refused = true;
  }
}

void Backups::feed(Feed& feed) {
  feed.kept = 0;
  feed.worst = Code::ok;
  feed.message.clear();
  feed.pending = 1;  // this call: nothing ends before all tries have begun
  const Instant now = x_desk.clock.now();
  for (const ServerId target : feed.targets) {
    FeedTry* attempt = x_tries.take();
    if (attempt == nullptr) {
      feed.worst = Code::overloaded;
      feed.message = "the lane feeds too many backups";
      break;
    }
    ++feed.pending;
    attempt->feed = &feed;
    attempt->server = target;
    attempt->payload = feed.payload;
    attempt->op.head = feed.request.head;
    attempt->op.request = feed.request;
    attempt->op.payload = std::span(&attempt->payload, 1);
    attempt->op.deadline = give_up_at(now, feed.deadline);
    attempt->op.on_end = [this, attempt](fabric::LinkOp&) { on_tried(*attempt); };
    start(*attempt);
  }
  if (--feed.pending == 0) feed.on_end(feed);
}

void Backups::start(FeedTry& attempt) {
  attempt.retry_at = kNever;
  if (x_closed || TARN_FAULT_POINT("replicate.backup_lost") || !is_up(attempt.server)) {
    end(attempt, Code::unavailable, "a backup is lost");
    return;
  }
  if (!is_still_due(attempt)) {
    end(attempt, Code::stale_epoch, "the block has other owners now");
    return;
  }
  attempt.op.head.epoch = x_desk.epoch();
  Server& server = x_servers[attempt.server];
  if (!server.is_wired) {
    server.waiting.push_back(&attempt);
    connect(attempt.server, server);
    return;
  }
  const auto lane =
      static_cast<uint16_t>(ring::lane_of(attempt.feed->position, server.wiring.lanes));
  fabric::Link* link = link_to(server, lane);
  if (link == nullptr) {
    again_or_end(attempt, Code::unavailable, "a backup cannot be reached");
  } else {
    submit(attempt, *link);
  }
}

void Backups::submit(FeedTry& attempt, fabric::Link& link) {
  const Status begun = link.submit(attempt.op);
  if (!begun.is_ok()) again_or_end(attempt, begun.code(), begun.message());
}

void Backups::on_tried(FeedTry& attempt) {
  const Code code = attempt.op.code;
  if (code == Code::ok || code == Code::exists) {
    x_desk.metrics.backup_blocks.add();
    ++attempt.feed->kept;
    end(attempt, Code::ok, {});
    return;
  }
  // Its ticket has ended, or the server began a new life: the next try wires up again.
  if (code == Code::unauthenticated) x_servers[attempt.server].is_refused = true;
  again_or_end(attempt, code, std::string(wire::view(attempt.op.message)));
}

void Backups::again_or_end(FeedTry& attempt, Code code, std::string message) {
  const Instant again = x_desk.clock.now() + kRetryAfter;
  if (!may_pass(code) || again >= attempt.op.deadline || x_closed) {
    end(attempt, code, std::move(message));
    return;
  }
  attempt.feed->message = std::move(message);
  attempt.retry_at = again;
}

void Backups::end(FeedTry& attempt, Code code, std::string message) {
  Feed& feed = *attempt.feed;
  if (code != Code::ok) {
    x_desk.metrics.backup_failures.add();
    feed.worst = code;
    feed.message = "a backup did not take its copy: " + std::move(message);
  }
  x_tries.give_back(attempt);
  TARN_CHECK(feed.pending > 0);
  if (--feed.pending == 0) feed.on_end(feed);
}

void Backups::connect(ServerId id, Server& server) {
  if (server.is_connecting || server.is_wired || x_desk.clock.now() < server.retry_at) return;
  server.is_connecting = true;
  x_wire_up(id, [alive = x_alive, id](Result<BackupWiring> wiring) {
    if (*alive != nullptr) (*alive)->on_wired(id, std::move(wiring));
  });
}

void Backups::on_wired(ServerId id, Result<BackupWiring> wiring) {
  Server& server = x_servers[id];
  server.is_connecting = false;
  if (x_closed) return;
  if (!wiring) {
    server.backoff = std::clamp(server.backoff * 2, kBackoffMin, kBackoffMax);
    server.retry_at = x_desk.clock.now() + server.backoff;
    log::warn("backup {} cannot be reached: {}", id.value, wiring.error().to_string());
    return;
  }
  server.backoff = Nanos(0);
  server.is_wired = true;
  server.wiring = std::move(*wiring);
  if (server.wiring.port != nullptr) {
    server.wiring.port->set_handler(
        [this](uint64_t number, fabric::Bytes header, fabric::Payload& payload) {
          x_links.on_message(number, header, payload);
        });
  }
  for (FeedTry* attempt : std::exchange(server.waiting, {}))
    start(*attempt);
  x_removals.for_each([&](Removal& removal) {
    if (removal.is_waiting && removal.server == id) submit(removal, server);
  });
}

fabric::Link* Backups::link_to(Server& server, uint16_t lane) {
  const auto found = server.links.find(lane);
  if (found != server.links.end()) {
    return found->second.link->is_lost() ? nullptr : found->second.link.get();
  }
  auto opened = open_link(server, lane);
  if (!opened) {
    log::warn("backup: {}", opened.error().to_string());
    return nullptr;
  }
  return server.links.emplace(lane, std::move(*opened)).first->second.link.get();
}

Result<Backups::LaneLink> Backups::open_link(Server& server, uint16_t lane) {
  const BackupWiring& wiring = server.wiring;
  fabric::Port* port = wiring.port.get();
  for (fabric::Port* own : x_ports) {
    if (port == nullptr && own->kind() == wiring.fabric) port = own;
  }
  if (port == nullptr || wiring.lane_addresses.empty()) return unavailable("no port of its fabric");
  const size_t place = wiring.lane_addresses.size() == 1 ? 0 : lane;
  if (place >= wiring.lane_addresses.size()) return unavailable("no address of its lane");
  LaneLink made;
  made.number = x_next_number++;
  const auto on_lost = [alive = x_alive, number = made.number](Status why) {
    if (*alive == nullptr) return;
    for (auto& [id, each] : (*alive)->x_servers) {
      for (auto& [l, link] : each.links) {
        if (link.number == number) link.link->lost(why);
      }
    }
  };
  TARN_ASSIGN_OR_RETURN(
      auto connection,
      port->connect(
          {.peer_address = wiring.lane_addresses[place], .link = made.number, .on_lost = on_lost}));
  fabric::LinkOptions options;
  options.identity = wiring.identity;
  options.identity.lane = lane;
  options.client_key = wiring.client_key;
  options.connection = std::move(connection);
  options.clock = &x_desk.clock;
  options.counters = &x_link_counters;
  TARN_ASSIGN_OR_RETURN(made.link, fabric::Link::open(std::move(options)));
  x_links.add(made.number, *made.link);
  return made;
}

void Backups::remove(ServerId server_id, Position position, const block::BlockKey& key) {
  if (x_closed || !is_up(server_id)) return;
  Removal* removal = x_removals.take();
  if (removal == nullptr) return;
  removal->server = server_id;
  removal->position = position;
  removal->item = {key.shard, key.hash};
  removal->op.head = {
      .epoch = x_desk.epoch(), .space = key.space, .for_tenant = true, .tenant = key.tenant};
  removal->op.backup = true;
  removal->op.items = std::span(&removal->item, 1);
  removal->op.codes = std::span(&removal->code, 1);
  removal->op.deadline = x_desk.clock.now() + kRemovalTime;
  removal->op.on_end = [this, removal](fabric::LinkOp&) { x_removals.give_back(*removal); };
  Server& server = x_servers[server_id];
  removal->is_waiting = !server.is_wired;
  if (server.is_wired) {
    submit(*removal, server);
  } else {
    connect(server_id, server);
  }
}

void Backups::submit(Removal& removal, Server& server) {
  removal.is_waiting = false;
  fabric::Link* link =
      link_to(server, static_cast<uint16_t>(ring::lane_of(removal.position, server.wiring.lanes)));
  if (link == nullptr || !link->submit(removal.op).is_ok()) x_removals.give_back(removal);
}

size_t Backups::tick_removals(Instant now) {
  size_t done = 0;
  x_removals.for_each([&](Removal& removal) {
    if (!removal.is_waiting || (removal.op.deadline > now && !x_closed)) return;
    removal.is_waiting = false;
    x_removals.give_back(removal);
    ++done;
  });
  return done;
}

size_t Backups::tick(Instant now) {
  size_t done = 0;
  for (auto& [id, server] : x_servers)
    done += tick_server(id, server, now);
  done += tick_tries(now);
  done += tick_removals(now);
  for (Grave& grave : x_graves) {
    if (grave.port != nullptr) done += grave.port->progress();
    grave.link->expire(now);
  }
  std::erase_if(x_graves, [](const Grave& grave) { return grave.link->is_idle(); });
  return done;
}

size_t Backups::tick_server(ServerId id, Server& server, Instant now) {
  size_t done = server.wiring.port == nullptr ? 0 : server.wiring.port->progress();
  bool any_lost = std::exchange(server.is_refused, false);
  for (auto& [lane, link] : server.links) {
    link.link->expire(now);
    any_lost = any_lost || link.link->is_lost();
  }
  // One lost link means that the server is gone, or another one: all begin anew.
  if (any_lost) lose(server, unavailable("the backup's connection was lost"));
  if (!server.waiting.empty()) connect(id, server);
  for (FeedTry* attempt : std::exchange(server.waiting, {})) {
    if (now < attempt->op.deadline && is_up(id) && !x_closed) {
      server.waiting.push_back(attempt);
    } else {
      ++done;
      end(*attempt, Code::unavailable, "it cannot be reached");
    }
  }
  return done;
}

size_t Backups::tick_tries(Instant now) {
  size_t done = 0;
  x_tries.for_each([&](FeedTry& attempt) {
    if (attempt.retry_at > now) return;
    ++done;
    if (attempt.op.deadline <= now) {
      end(attempt, Code::deadline_exceeded, "no time is left");
    } else {
      start(attempt);
    }
  });
  return done;
}

void Backups::lose(Server& server, Status why) {
  for (auto& [lane, link] : server.links)
    link.link->lost(why);
  bury(server);
  server.is_wired = false;
  server.retry_at = x_desk.clock.now();
}

void Backups::bury(Server& server) {
  for (auto& [lane, link] : server.links) {
    x_links.remove(link.number);
    x_graves.push_back({std::move(link.link), server.wiring.port});
  }
  server.links.clear();
  server.wiring.port = nullptr;
}

void Backups::close() {
  x_closed = true;
  for (auto& [id, server] : x_servers)
    lose(server, unavailable("the server is closing"));
}

bool Backups::is_idle() const {
  if (x_tries.used() > 0 || x_removals.used() > 0 || !x_graves.empty()) return false;
  return std::all_of(x_servers.begin(), x_servers.end(),
                     [](const auto& entry) { return entry.second.links.empty(); });
}

}  // namespace tarn::lane
