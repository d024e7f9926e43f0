#include "server/lane/lane.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/processors.h"
#include "common/base/thread_name.h"
#include "common/block/key.h"
#include "common/fabric/local_port.h"

namespace tarn::lane {
namespace {

// A sleeping lane looks at its deadlines this often.
constexpr int kSleepMs = 20;
constexpr Nanos kStatsEvery = std::chrono::milliseconds(100);
constexpr Nanos kRatesEvery = std::chrono::seconds(1);
// After close, what is still in flight has this long to call back.
constexpr Nanos kDrainMax = std::chrono::seconds(3);

// Null for a port of another kind.
fabric::LocalPort* local_of(fabric::Port& port) {
  const bool is_local = port.kind() == fabric::Kind::local;
  return is_local ? static_cast<fabric::LocalPort*>(&port) : nullptr;
}

// What the holder may read block by block, it may as well see whole; another one sees copies.
fabric::Domain domain_to_map(const auth::Ticket& ticket) {
  const bool covers_all = ticket.spaces.empty() && ticket.allows(auth::right::kRead) &&
                          !ticket.allows(auth::right::kReplicate);
  return covers_all ? block::tenant_id(ticket.holder.tenant).bytes : fabric::Domain{};
}

}  // namespace

Result<std::unique_ptr<Lane>> Lane::open(LaneOptions options) {
  TARN_CHECK(options.registry != nullptr && options.events != nullptr);
  TARN_ASSIGN_OR_RETURN(auto event, fabric::Event::open());
  const int epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return unavailable("no epoll for a lane");
  auto lane = std::unique_ptr<Lane>(
      new Lane(std::move(options), std::make_shared<thread::Inbox>(std::move(event)), epoll_fd));
  lane->x_thread = std::thread([raw = lane.get()] { raw->run(); });
  return lane;
}

Lane::Lane(LaneOptions options, std::shared_ptr<thread::Inbox> inbox, int epoll_fd)
    : x_options(std::move(options)),
      x_clock(*x_options.clock),
      x_inbox(std::move(inbox)),
      x_epoll_fd(epoll_fd),
      x_metrics(*x_options.registry, x_options.lane),
      x_fabric_metrics(*x_options.registry, x_options.lane),
      x_tier_metrics(*x_options.registry, x_options.lane),
      x_tier(dram_options()),
      x_store(tiers_options()),
      x_desk({x_options.lane, x_options.lane_count}, x_clock,
             has_below() ? static_cast<store::Tier&>(x_store) : x_tier, x_metrics),
      x_backups(x_desk, x_options.wire_up),
      x_service(x_desk, x_backups) {
  x_desk.has_flash = x_options.drives != nullptr;
  x_desk.has_below = has_below();
  watch(x_inbox->event_fd());
  for (const auto& port : x_options.ports) {
    x_port_infos.push_back({port->kind(), port->address(), port->transport()});
    x_backups.add_port(*port);
    port->set_handler([this](uint64_t link, fabric::Bytes header, fabric::Payload& payload) {
      x_service.on_message(link, header, payload);
    });
    if (fabric::LocalPort* const local = local_of(*port)) {
      local->set_keeper([this](fabric::Bytes bytes) { return keep(bytes); });
    }
    watch(port->event_fd());
  }
}

store::DramTierOptions Lane::dram_options() {
  store::DramTierOptions made;
  made.memory = x_options.memory;
  made.on_change = [this](const store::BlockChange& change) { on_dram_change(change); };
  made.lane = x_options.lane;
  made.descent = x_options.descent;
  made.on_blocked = x_options.on_blocked;
  if (!has_below()) return made;
  made.on_evicted = [this](store::Leaving& leaving) { return x_store.on_evicted(leaving); };
  return made;
}

tiers::TieredStoreOptions Lane::tiers_options() {
  tiers::TieredStoreOptions made;
  made.dram = &x_tier;
  made.drives = x_options.drives;
  made.object = x_options.object;
  made.home = x_inbox;
  made.on_change = [this](const store::BlockChange& change) { on_flash_change(change); };
  made.on_lost = [this](const block::BlockHeader& header) { x_service.on_gone(header); };
  made.floors_known = x_options.floors_known;
  made.writing_bytes_max = std::min(made.writing_bytes_max, x_options.memory.cap_bytes / 8);
  return made;
}

void Lane::on_dram_change(const store::BlockChange& change) {
  x_options.events->append(change);
  if (!change.removed) return;
  x_metrics.evicted_blocks.add();
  if (!x_store.is_below(change.header.key)) x_service.on_gone(change.header);
}

void Lane::on_flash_change(const store::BlockChange& change) {
  x_options.events->append(change);
  const bool is_gone = change.removed && x_tier.find(change.header.key) == nullptr;
  if (is_gone) x_service.on_removed(change.header);
}

// A block that is viewed stays for as long as the peer likes, not for as long as its get lasts.
std::function<void()> Lane::keep(fabric::Bytes bytes) {
  auto pin = x_tier.pin_at(bytes.data());
  if (!pin) return nullptr;
  return [held = std::make_shared<store::Pin>(std::move(*pin))] { held->release(); };
}

Lane::~Lane() {
  close();
  ::close(x_epoll_fd);
}

void Lane::watch(int fd) {
  if (fd < 0 || std::find(x_watched.begin(), x_watched.end(), fd) != x_watched.end()) return;
  epoll_event event{};
  event.events = EPOLLIN;
  ::epoll_ctl(x_epoll_fd, EPOLL_CTL_ADD, fd, &event);
  x_watched.push_back(fd);
}

void Lane::run() {
  set_thread_name("tarn-lane" + std::to_string(x_options.lane));
  if (x_options.processor && !pin_thread(*x_options.processor)) {
    log::warn("lane {} cannot stay on processor {}: the kernel chooses", x_options.lane,
              *x_options.processor);
  }
  Instant last_work = x_clock.now();
  while (!x_stopping.load(std::memory_order_acquire)) {
    const size_t done = turn();
    const Instant now = x_clock.now();
    if (done > 0) {
      last_work = now;
    } else if (now - last_work >= x_options.spin) {
      doze();
    }
  }
  drain_and_leave();
}

size_t Lane::turn() {
  size_t done = x_inbox->run_all();
  for (const auto& port : x_options.ports)
    done += port->progress();
  const Instant now = x_clock.now();
  done += x_store.tick(now);
  done += x_backups.tick(now);
  done += x_service.tick(now);
  if (now >= x_stats_due) {
    publish_stats(now);
    x_stats_due = now + kStatsEvery;
  }
  return done;
}

bool Lane::arm_all() {
  bool armed = true;
  for (const auto& port : x_options.ports)
    armed = port->arm() && armed;
  x_backups.for_each_port([&](fabric::Port& port) {
    watch(port.event_fd());
    armed = port.arm() && armed;
  });
  return armed;
}

void Lane::doze() {
  if (!arm_all()) return;
  epoll_event events[8];
  ::epoll_wait(x_epoll_fd, events, 8, kSleepMs);
}

void Lane::drain_and_leave() {
  x_inbox->close();
  x_service.close_all();
  x_backups.close();
  const Instant end = x_clock.now() + kDrainMax;
  const auto is_idle = [this] {
    return x_service.is_idle() && x_backups.is_idle() && x_store.is_idle() &&
           std::all_of(x_options.ports.begin(), x_options.ports.end(),
                       [](const auto& port) { return port->idle(); });
  };
  while (!is_idle() && x_clock.now() < end) {
    if (turn() == 0) doze();
  }
  if (!is_idle()) log::warn("lane {} ends with operations in flight", x_options.lane);
  turn();
  // What is still in flight calls back now, while those who wait for it are there.
  x_options.ports.clear();
  turn();
}

void Lane::close() {
  x_stopping.store(true, std::memory_order_release);
  if (!x_thread.joinable()) return;
  (void)x_inbox->post([] {});
  x_thread.join();
}

void Lane::publish_stats(Instant now) {
  publish_rates(now);
  publish_fabric();
  x_tier_metrics.publish(x_store.counters());
  const store::TierUsage usage = x_tier.usage();
  x_memory_bytes.store(usage.memory_bytes, std::memory_order_relaxed);
  x_payload_bytes.store(usage.payload_bytes, std::memory_order_relaxed);
  x_blocks.store(usage.blocks, std::memory_order_relaxed);
  x_connections.store(x_desk.peers.size(), std::memory_order_relaxed);
  x_metrics.memory_bytes.set(static_cast<double>(usage.memory_bytes));
  x_metrics.payload_bytes.set(static_cast<double>(usage.payload_bytes));
  x_metrics.blocks.set(static_cast<double>(usage.blocks));
  x_metrics.connections.set(static_cast<double>(x_desk.peers.size()));
}

void Lane::publish_fabric() {
  uint64_t quarantined = 0;
  fabric::LocalCounters local;
  for (const auto& port : x_options.ports) {
    quarantined += port->quarantined_total();
    if (const fabric::LocalPort* const shared = local_of(*port)) local = shared->counters();
  }
  x_fabric_metrics.publish(
      {quarantined, x_backups.links().unrouted(), x_backups.link_counters(), local});
}

void Lane::publish_rates(Instant now) {
  const Nanos passed = now - x_sample.at;
  if (passed < kRatesEvery) return;
  const Sample next{now, x_metrics.put_bytes.value(), x_metrics.get_bytes.value()};
  const double seconds = std::chrono::duration<double>(passed).count();
  const auto rate = [seconds](uint64_t from, uint64_t to) {
    return static_cast<uint64_t>(static_cast<double>(to - from) / seconds);
  };
  x_put_bytes_per_s.store(rate(x_sample.put_bytes, next.put_bytes), std::memory_order_relaxed);
  x_get_bytes_per_s.store(rate(x_sample.get_bytes, next.get_bytes), std::memory_order_relaxed);
  x_sample = next;
}

LaneStats Lane::stats() const {
  LaneStats stats;
  stats.dram.capacity_bytes = x_options.memory.cap_bytes;
  stats.dram.memory_bytes = x_memory_bytes.load(std::memory_order_relaxed);
  stats.dram.payload_bytes = x_payload_bytes.load(std::memory_order_relaxed);
  stats.dram.blocks = x_blocks.load(std::memory_order_relaxed);
  stats.connections = x_connections.load(std::memory_order_relaxed);
  stats.put_bytes = x_metrics.put_bytes.value();
  stats.get_bytes = x_metrics.get_bytes.value();
  stats.put_bytes_per_s = x_put_bytes_per_s.load(std::memory_order_relaxed);
  stats.get_bytes_per_s = x_get_bytes_per_s.load(std::memory_order_relaxed);
  const auto p50 = std::chrono::duration_cast<Micros>(x_metrics.get_send.quantile(0.5));
  stats.get_p50_us = static_cast<uint32_t>(p50.count());
  return stats;
}

Status Lane::call(std::function<Status()> task, Nanos timeout) {
  auto promise = std::make_shared<std::promise<Status>>();
  auto result = promise->get_future();
  TARN_RETURN_IF_ERROR(post([task = std::move(task), promise] { promise->set_value(task()); }));
  if (result.wait_for(timeout) != std::future_status::ready) {
    return deadline_exceeded("the lane does not answer");
  }
  return result.get();
}

fabric::Port* Lane::port_of(fabric::Kind kind) {
  for (const auto& port : x_options.ports) {
    if (port->kind() == kind) return port.get();
  }
  return nullptr;
}

Status Lane::connect_peer(const PeerSpec& spec) {
  fabric::Port* port = port_of(spec.fabric);
  if (port == nullptr) return unsupported("the lane has no such fabric");
  fabric::ConnectOptions options;
  options.peer_address = spec.address;
  options.link = spec.connection_id;
  options.on_lost = [this, id = spec.connection_id](Status) { x_service.remove_peer(id); };
  fabric::LocalPort* const local = local_of(*port);
  TARN_ASSIGN_OR_RETURN(
      auto connection,
      local != nullptr ? local->connect_showing(std::move(options), domain_to_map(spec.ticket),
                                                block::tenant_id(spec.ticket.holder.tenant).bytes)
                       : port->connect(std::move(options)));
  return x_service.add_peer(spec, std::move(connection));
}

Status Lane::add_peer(PeerSpec spec, Nanos timeout) {
  return call([this, spec = std::move(spec)] { return connect_peer(spec); }, timeout);
}

Status Lane::remove_peer(uint64_t connection_id) {
  return post([this, connection_id] { x_service.remove_peer(connection_id); });
}

Status Lane::remove_peer_of(uint64_t connection_id, std::string tenant, Nanos timeout) {
  return call(
      [this, connection_id, tenant = std::move(tenant)] {
        Peer* peer = x_desk.peers.find(connection_id);
        if (peer == nullptr || peer->ticket.holder.tenant != tenant) {
          return not_found("no such connection");
        }
        x_desk.peers.close(*peer);
        return Status::ok();
      },
      timeout);
}

Status Lane::set_view(ClusterViewPtr view) {
  return post_news([this, view = std::move(view)] {
    const bool is_first = x_desk.view == nullptr || x_desk.view->is_remembered;
    if (!is_first && view->epoch() < x_desk.view->epoch()) return;
    const auto known = is_first ? Epoch{0} : x_desk.view->epoch();
    x_service.set_view(view);
    for (const ring::Floor& floor : view->config.floors) {
      if (floor.epoch > known) x_tier.remove_all(floor.tenant, floor.space);
    }
    x_store.on_config(view->epoch(), view->config.floors);
  });
}

Status Lane::set_ticket_grace(Millis grace) {
  return post_news([this, grace] { x_desk.ticket_grace = grace; });
}

Status Lane::make_way(const store::MakeWay& wanted) {
  return post([this, wanted] { (void)x_tier.make_way(wanted); });
}

Status Lane::on_dropped(std::vector<block::BlockHeader> headers) {
  return post_news([this, headers = std::move(headers)] {
    for (const block::BlockHeader& header : headers)
      if (x_desk.tier.find(header.key) == nullptr) x_service.on_gone(header);
  });
}

Result<Lane::ScanChunk> Lane::scan(store::PositionRange range, size_t limit, Nanos timeout) {
  auto chunk = std::make_shared<ScanChunk>();
  TARN_RETURN_IF_ERROR(call(
      [this, chunk, range, limit] {
        chunk->next = x_tier.scan(range, limit, [&](const block::BlockHeader& header) {
          chunk->blocks.push_back(header);
        });
        return Status::ok();
      },
      timeout));
  return std::move(*chunk);
}

}  // namespace tarn::lane
