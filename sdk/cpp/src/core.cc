#include "sdk/cpp/src/core.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "sdk/cpp/src/rpc_channels.h"

namespace tarn::sdk {
namespace {

using std::chrono::milliseconds;

// Deadlines of calls that no caller waits for.
constexpr Nanos kConnectTimeout = milliseconds(2000);
constexpr Nanos kRefreshTimeout = milliseconds(2000);
constexpr Nanos kDisconnectTimeout = milliseconds(300);
// Connections wait behind it.
constexpr Nanos kReportTimeout = milliseconds(50);

}  // namespace

Core::Core(ClientOptions options, std::shared_ptr<CredentialSource> source,
           std::unique_ptr<RouterChannels> channels)
    : x_options(std::move(options)),
      x_source(std::move(source)),
      x_channels(std::move(channels)),
      x_router(*x_channels),
      x_sessions(*x_channels),
      x_storage(x_source),
      x_tickets([this](Instant deadline) { return x_router.issue_ticket(deadline); }) {}

Result<std::shared_ptr<Core>> Core::open(ClientOptions options) {
  // gRPC and UCX do not work in a child of a process that has used them.
  static const ForkGuard first;
  if (first.is_child()) return unsupported(kForkedText);
  if (!(options.hedge_fraction >= 0 && options.hedge_fraction <= 1)) {
    return invalid_argument("hedge_fraction: must be 0 to 1");
  }
  TARN_ASSIGN_OR_RETURN(auto source, CredentialSource::open(options));
  TARN_ASSIGN_OR_RETURN(auto channels, RouterChannels::open(source));
  const auto leave_if_forked = [](Core* core) {
    if (!core->is_forked()) std::default_delete<Core>()(core);
  };
  std::shared_ptr<Core> core(new Core(std::move(options), source, std::move(channels)),
                             leave_if_forked);
  TARN_RETURN_IF_ERROR(core->refresh_config(core->deadline_of({})));
  // The way to a router that answers is a way into the cluster's network.
  const std::string endpoint = source->current()->endpoints[core->x_channels->current()];
  TARN_ASSIGN_OR_RETURN(Ports ports, open_ports(core->x_options.transport, endpoint));
  TARN_RETURN_IF_ERROR(core->start(std::move(ports)));
  return core;
}

Core::~Core() {
  x_channels->stop();
  x_watch.reset();
  x_background.stop();
  if (x_io == nullptr) return;
  const Instant deadline = system_clock().now() + kDisconnectTimeout;
  for (const Wireup& wireup : x_io->stop())
    x_storage.disconnect(wireup, deadline);
}

Status Core::start(Ports ports) {
  x_contexts = std::move(ports.contexts);
  x_buffers->show_in(std::move(ports.shown));
  IoLoop::Options io;
  io.ports = std::move(ports.ports);
  io.offers = std::move(ports.offers);
  io.spin = Micros(x_options.spin_us);
  io.is_polling = x_options.polling;
  io.hedge_fraction = x_options.hedge_fraction;
  io.bytes_in_flight_max = std::max<uint64_t>(x_options.in_flight_bytes_max, 1);
  io.cluster = &x_cluster;
  io.connect = [this](ConnectCall call) { return begin_connect(std::move(call)); };
  io.refresh_config = [this] { begin_refresh(); };
  io.report_misses = [this](std::vector<MissedAt> missed) { begin_report(std::move(missed)); };
  io.ticket_end = [this] { return ticket_end(); };
  TARN_ASSIGN_OR_RETURN(x_io, IoLoop::open(std::move(io)));
  x_io->start();
  x_io->wake();
  ConfigWatch::Options watch;
  watch.channels = x_channels.get();
  watch.known_epoch = [this] { return x_cluster.epoch(); };
  watch.on_config = [this](ring::ClusterConfig config) {
    const Status taken = take_config(std::move(config));
    if (!taken.is_ok()) log::warn("a config is not taken: {}", taken.to_string());
  };
  x_watch = std::make_unique<ConfigWatch>(std::move(watch));
  x_watch->start();
  return Status::ok();
}

Instant Core::deadline_of(const CallOptions& call) const {
  const uint32_t ms = call.timeout_ms == 0 ? x_options.timeout_ms : call.timeout_ms;
  return system_clock().now() + milliseconds(ms);
}

std::shared_ptr<SpaceState> Core::space(const block::SpaceSpec& spec, const SpaceId& id) {
  const MutexLock lock(x_mutex);
  std::shared_ptr<SpaceState>& state = x_spaces[id];
  if (state == nullptr) {
    state = std::make_shared<SpaceState>(spec);
    state->id = id;
    state->tenant = x_source->current()->tenant;
  }
  return state;
}

Status Core::locate(SpaceState& space, std::span<const block::BlockHash> hashes, Instant deadline) {
  while (!hashes.empty()) {
    const auto some = hashes.first(std::min<size_t>(hashes.size(), kMatchHashesMax));
    TARN_ASSIGN_OR_RETURN(const auto blocks, x_router.locate(space.id, some, deadline));
    for (const LocatedBlock& block : blocks)
      if (!block.place.place.anchor.is_empty()) space.chains.learn(block.hash, block.place);
    hashes = hashes.subspan(some.size());
  }
  return Status::ok();
}

bool Core::pause(Nanos time) {
  return x_channels->pause(time);
}

void Core::launch(std::shared_ptr<Flight> flight) {
  if (is_forked()) return flight->refuse(unsupported(kForkedText));
  const Status taken = x_io->submit(flight);
  if (!taken.is_ok()) flight->refuse(taken);
}

Status Core::refresh_config(Instant deadline) {
  TARN_ASSIGN_OR_RETURN(ring::ClusterConfig config, x_router.get_config(deadline));
  return take_config(std::move(config));
}

Status Core::take_config(ring::ClusterConfig config) {
  TARN_ASSIGN_OR_RETURN(const bool is_newer, x_cluster.offer(std::move(config)));
  if (is_newer && x_io != nullptr) x_io->wake();
  return Status::ok();
}

// One at a time: whoever asks meanwhile asks again if the answer did not help.
void Core::begin_refresh() {
  if (x_is_refreshing.exchange(true)) return;
  const Status begun = x_background.submit([this] {
    const Status done = refresh_config(system_clock().now() + kRefreshTimeout);
    if (!done.is_ok()) log::debug("no router gives the config: {}", done.to_string());
    x_is_refreshing.store(false);
  });
  if (!begun.is_ok()) x_is_refreshing.store(false);
}

// A hint, so nobody waits for it for long, nor asks what became of it.
void Core::begin_report(std::vector<MissedAt> missed) {
  (void)x_background.submit([this, missed = std::move(missed)] {
    const Instant deadline = system_clock().now() + kReportTimeout;
    const Status told = x_router.report_misses(missed, deadline);
    if (!told.is_ok()) log::debug("no router was told of misses: {}", told.to_string());
  });
}

// Also for the io thread: a renewal goes on elsewhere, one at a time.
int64_t Core::ticket_end() {
  if (x_tickets.is_due() && !x_is_renewing.exchange(true)) {
    const Status begun = x_background.submit([this] {
      const auto ticket = x_tickets.get(system_clock().now() + kConnectTimeout);
      if (!ticket) log::debug("no new ticket: {}", ticket.error().to_string());
      x_is_renewing.store(false);
    });
    if (!begun.is_ok()) x_is_renewing.store(false);
  }
  return x_tickets.expires_unix_ms();
}

Status Core::begin_connect(ConnectCall call) {
  return x_background.submit([this, call = std::move(call)] { connect(call); });
}

void Core::connect(const ConnectCall& call) {
  const Instant deadline = system_clock().now() + kConnectTimeout;
  if (call.former) x_storage.disconnect(*call.former, system_clock().now() + kDisconnectTimeout);
  if (call.wants_ticket) x_tickets.drop();
  const auto ticket = x_tickets.get(deadline);
  if (!ticket) return x_io->on_connected(call.server, call.attempt, ticket.error());
  x_io->on_connected(call.server, call.attempt,
                     x_storage.connect(call.endpoint, *ticket, call.offers, deadline));
}

}  // namespace tarn::sdk
