#include "sdk/cpp/src/io_loop.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/thread_name.h"

namespace tarn::sdk {
namespace {

using std::chrono::milliseconds;

constexpr size_t kPortsMax = 4;
// Between two questions for the config, however many flights want it.
constexpr Nanos kRefreshPause = milliseconds(50);
// Between two reports of misses.
constexpr Nanos kReportPause = std::chrono::seconds(1);
constexpr Nanos kSleepMost = milliseconds(500);
// Between two turns, in which nobody does the loop's work: servers are not to blame for it.
constexpr Nanos kPauseLeast = milliseconds(50);
// For callbacks of what was in flight when the client closed.
constexpr Nanos kShutDownMost = milliseconds(1500);

}  // namespace

IoLoop::IoLoop(Options options, fabric::Event event, fabric::Event unparked)
    : x_options(std::move(options)),
      x_event(std::move(event)),
      x_unparked(std::move(unparked)),
      x_hedges(x_options.hedge_fraction) {
  PeerTable::Options peers;
  peers.ports = x_options.ports;
  peers.offers = x_options.offers;
  peers.connect = x_options.connect;
  peers.ticket_end = x_options.ticket_end;
  peers.on_change = [this] { x_peers_changed = true; };
  x_peers = std::make_unique<PeerTable>(std::move(peers));
  x_deck.peers = x_peers.get();
  x_deck.hedges = &x_hedges;
  x_deck.bytes_in_flight_max = x_options.bytes_in_flight_max;
  for (const auto& port : x_options.ports) {
    port->set_handler([this](uint64_t number, fabric::Bytes header, fabric::Payload& payload) {
      x_peers->on_message(number, header, payload);
    });
  }
}

IoLoop::~IoLoop() {
  stop();
}

Result<std::unique_ptr<IoLoop>> IoLoop::open(Options options) {
  TARN_CHECK(options.cluster != nullptr && !options.ports.empty());
  TARN_CHECK(options.ports.size() <= kPortsMax);
  TARN_ASSIGN_OR_RETURN(fabric::Event event, fabric::Event::open());
  TARN_ASSIGN_OR_RETURN(fabric::Event unparked, fabric::Event::open());
  return std::unique_ptr<IoLoop>(
      new IoLoop(std::move(options), std::move(event), std::move(unparked)));
}

void IoLoop::start() {
  TARN_CHECK(!x_thread.joinable());
  x_thread = std::thread([this] { run(); });
}

std::vector<Wireup> IoLoop::stop() {
  x_is_stopping.store(true);
  {
    const MutexLock lock(x_mutex);
    x_is_closed = true;
  }
  signal();
  x_unparked.signal();
  if (x_thread.joinable()) x_thread.join();
  return std::exchange(x_closed, {});
}

Status IoLoop::submit(std::shared_ptr<Flight> flight) {
  {
    const MutexLock lock(x_mutex);
    if (x_is_closed) return cancelled("the client is closing");
    if (x_flight_count >= kFlightsMax) return overloaded("too many transfers are under way");
    ++x_flight_count;
    x_inbox.push_back(std::move(flight));
  }
  signal();
  if (is_lent()) {
    if (!x_is_driven.load()) begin_at_once();
  } else {
    unpark();
  }
  return Status::ok();
}

// While nobody does the lent loop's work, who submits lets its request leave: the server works on
// one while the caller makes the next.
void IoLoop::begin_at_once() {
  if (!x_work_mutex.try_lock()) return;
  if (!x_is_stopping.load(std::memory_order_relaxed)) {
    turn();
    stay_lent();
  }
  x_work_mutex.unlock();
}

// Whoever waits now and then, and submits meanwhile, keeps the loop's work.
void IoLoop::stay_lent() {
  Instant until = x_lent_until.load();
  const bool is_wanted_back = until == Instant{} || x_waiters.load() > 0;
  if (is_wanted_back || x_deck.now - x_waited_at.load() > kWaitsOften) return;
  x_lent_until.compare_exchange_strong(until, x_deck.now + kLentMost);
}

void IoLoop::on_connected(ServerId server, uint64_t attempt, Result<Wireup> result) {
  {
    const MutexLock lock(x_mutex);
    x_connected.push_back({server, attempt, std::move(result)});
  }
  signal();
}

// Runs on the loop's thread, soon or when it stops.
void IoLoop::give_back(std::function<void()> release) {
  {
    const MutexLock lock(x_mutex);
    x_released.push_back(std::move(release));
  }
  signal();
}

void IoLoop::wake() {
  {
    const MutexLock lock(x_mutex);
    x_is_woken = true;
  }
  signal();
}

// The mail flag goes up before the sleeper is looked for; the thread does it the other way round.
void IoLoop::signal() {
  x_has_mail.store(true);
  if (x_is_asleep.load()) x_event.signal();
}

void IoLoop::run() {
  set_thread_name("tarn-io");
  Nanos pause = kLentMost;
  while (!x_is_stopping.load(std::memory_order_relaxed)) {
    if (is_lent()) {
      // Whoever leaves transfers behind gives them back soon.
      park(has_flights() ? kLentMost : pause);
      pause = std::min(2 * pause, kParkedMost);
    } else {
      pause = kLentMost;
      work_until_lent();
    }
  }
  const MutexLock lock(x_work_mutex);
  shut_down();
}

// The loop's work by "tarn-io", until another thread wants to do it.
void IoLoop::work_until_lent() {
  const MutexLock lock(x_work_mutex);
  Instant busy_until{};
  while (!x_is_stopping.load(std::memory_order_relaxed) && !x_is_driven.load()) {
    const size_t work = turn();
    if (work > 0) {
      busy_until = x_deck.now + x_options.spin;
    } else if (may_sleep(busy_until)) {
      sleep(kNever, false);
    }
  }
}

bool IoLoop::has_flights() {
  const MutexLock lock(x_mutex);
  return x_flight_count > 0;
}

bool IoLoop::is_lent() const {
  return x_is_driven.load() || system_clock().now() < x_lent_until.load();
}

// Looks again now and then: whoever leaves says nothing, mostly to be back at once.
void IoLoop::park(Nanos time) {
  const timespec timeout{0, time.count()};
  pollfd readable{x_unparked.fd(), POLLIN, 0};
  if (ppoll(&readable, 1, &timeout, nullptr) > 0) x_unparked.clear();
}

void IoLoop::unpark() {
  if (x_lent_until.exchange(Instant{}) != Instant{}) x_unparked.signal();
}

bool IoLoop::wait_for(const Awaited& awaited, Instant until) {
  x_waited_at.store(system_clock().now());
  if (awaited.has_come()) return true;
  const bool is_alone = x_waiters.fetch_add(1) == 0;
  const bool may_drive = is_alone && system_clock().now() >= x_crowded_until.load();
  if (may_drive && !x_is_driven.exchange(true)) {
    drive(awaited, until);
    const Instant now = system_clock().now();
    x_lent_until.store(now + kLentMost);
    x_is_driven.store(false);
    // Several threads are served best by one that waits for none of their transfers.
    if (x_waiters.load() > 1) x_crowded_until.store(now + kLentMost);
  }
  // Whoever drives looks for others that wait when it leaves, and they for it when they come.
  const bool is_left_alone = !x_is_driven.load() && !awaited.has_come();
  if (is_left_alone || x_waiters.load() > 1) unpark();
  const bool has_come = awaited.wait(until);
  x_waiters.fetch_sub(1);
  return has_come;
}

// In place of "tarn-io", which goes out of the way first.
void IoLoop::drive(const Awaited& awaited, Instant until) {
  if (x_is_asleep.load()) x_event.signal();
  const MutexLock lock(x_work_mutex);
  Instant busy_until = system_clock().now() + x_options.spin;
  while (!awaited.has_come() && !x_is_stopping.load(std::memory_order_relaxed)) {
    const size_t work = turn();
    if (x_deck.now >= until) return;
    if (work > 0) {
      busy_until = x_deck.now + x_options.spin;
    } else if (may_sleep(busy_until)) {
      sleep(until, true);
    }
  }
}

size_t IoLoop::turn() {
  const Instant before = std::exchange(x_deck.now, system_clock().now());
  const Instant due = std::max(before, x_sleeps_until);
  if (x_deck.now - due > kPauseLeast) x_deck.senders.excuse(x_deck.now - due);
  size_t work = take_inbox();
  work += progress_ports();
  x_peers->turn(x_deck.now);
  if (x_peers_changed) publish_connections();
  work += turn_flights();
  ask_elsewhere();
  return work;
}

// What the flights of this turn want of the routers.
void IoLoop::ask_elsewhere() {
  if (x_deck.wants_refresh && x_deck.now >= x_next_refresh) {
    x_deck.wants_refresh = false;
    x_next_refresh = x_deck.now + kRefreshPause;
    x_options.refresh_config();
  }
  if (!x_deck.missed.empty() && x_deck.now >= x_next_report) {
    x_next_report = x_deck.now + kReportPause;
    x_options.report_misses(std::exchange(x_deck.missed, {}));
  }
}

size_t IoLoop::take_inbox() {
  if (!x_has_mail.load(std::memory_order_relaxed)) return 0;
  x_has_mail.store(false);
  std::vector<Connected> connected;
  std::vector<std::function<void()>> released;
  bool is_woken = false;
  const size_t before = x_flights.size();
  {
    const MutexLock lock(x_mutex);
    x_flights.insert(x_flights.end(), std::make_move_iterator(x_inbox.begin()),
                     std::make_move_iterator(x_inbox.end()));
    x_inbox.clear();
    connected.swap(x_connected);
    released.swap(x_released);
    is_woken = std::exchange(x_is_woken, false);
  }
  for (const auto& release : released)
    release();
  if (is_woken || x_deck.view == nullptr) follow_config();
  for (Connected& each : connected)
    x_peers->on_connected(each.server, each.attempt, std::move(each.result));
  if (is_woken) {
    for (const auto& flight : x_flights)
      flight->stir();
  }
  return x_flights.size() - before + connected.size() + released.size() + (is_woken ? 1 : 0);
}

void IoLoop::follow_config() {
  auto view = x_options.cluster->current();
  if (view == nullptr || view == x_deck.view) return;
  x_deck.view = std::move(view);
  x_peers->update(*x_deck.view);
}

size_t IoLoop::progress_ports() {
  size_t work = 0;
  for (const auto& port : x_options.ports)
    work += port->progress();
  return work;
}

size_t IoLoop::turn_flights() {
  const bool has_room =
      x_deck.senders.rooms() != std::exchange(x_rooms_seen, x_deck.senders.rooms());
  if (std::exchange(x_peers_changed, false) || has_room) {
    for (const auto& flight : x_flights)
      flight->stir();
  }
  size_t ended = 0;
  size_t kept = 0;
  for (size_t i = 0; i < x_flights.size(); ++i) {
    if (x_flights[i]->is_due(x_deck.now) && x_flights[i]->turn(x_deck)) {
      ++ended;
      x_flights[i].reset();
      continue;
    }
    if (kept != i) x_flights[kept] = std::move(x_flights[i]);
    ++kept;
  }
  x_flights.resize(kept);
  if (ended > 0) {
    const MutexLock lock(x_mutex);
    TARN_CHECK(x_flight_count >= ended);
    x_flight_count -= ended;
  }
  return ended;
}

void IoLoop::publish_connections() {
  std::vector<ConnectionInfo> info = x_peers->connections();
  x_servers_sum_puts.store(x_peers->all_sum_puts(), std::memory_order_relaxed);
  const MutexLock lock(x_info_mutex);
  x_info = std::move(info);
}

std::vector<ConnectionInfo> IoLoop::connections() const {
  const MutexLock lock(x_info_mutex);
  return x_info;
}

bool IoLoop::may_sleep(Instant busy_until) const {
  return x_deck.now >= busy_until && (!x_options.is_polling || x_flights.empty());
}

Nanos IoLoop::sleep_time(Instant until) const {
  Instant wake = std::min({x_deck.now + kSleepMost, x_peers->next_wake(), until});
  for (const auto& flight : x_flights)
    wake = flight->is_due(x_deck.now) ? x_deck.now : std::min(wake, flight->wake_at());
  if (x_deck.wants_refresh) wake = std::min(wake, x_next_refresh);
  if (!x_deck.missed.empty()) wake = std::min(wake, x_next_report);
  return wake - system_clock().now();
}

void IoLoop::sleep(Instant until, bool is_driver) {
  const Nanos time = sleep_time(until);
  if (time <= Nanos(0)) return;
  x_sleeps_until = x_deck.now + time;
  for (const auto& port : x_options.ports)
    if (!port->arm()) return;
  x_is_asleep.store(true);
  // Who wants to drive looks whether "tarn-io" is asleep after it has said so.
  const bool is_in_the_way = !is_driver && x_is_driven.load();
  if (!x_has_mail.load() && !x_is_stopping.load() && !is_in_the_way) wait_readable(time);
  x_is_asleep.store(false);
  x_event.clear();
}

void IoLoop::wait_readable(Nanos time) {
  std::array<pollfd, kPortsMax + 1> fds{};
  nfds_t count = 0;
  fds[count++] = {x_event.fd(), POLLIN, 0};
  for (const auto& port : x_options.ports)
    fds[count++] = {port->event_fd(), POLLIN, 0};
  const timespec timeout{time.count() / 1'000'000'000, time.count() % 1'000'000'000};
  ppoll(fds.data(), count, &timeout, nullptr);
}

// Ends all transfers, then waits for the fabrics to let go of their memory.
void IoLoop::shut_down() {
  take_inbox();
  for (const auto& flight : x_flights)
    flight->state().cancel();
  x_closed = x_peers->close();
  const Instant until = system_clock().now() + kShutDownMost;
  bool is_idle = false;
  while (!is_idle && system_clock().now() < until) {
    for (const auto& flight : x_flights)
      flight->stir();
    turn();
    is_idle = x_flights.empty() && x_peers->is_idle();
    for (const auto& port : x_options.ports)
      is_idle &= port->idle();
    if (!is_idle) wait_readable(milliseconds(1));
  }
  if (x_flights.empty() && x_peers->is_idle()) {
    x_peers.reset();
  } else {
    // Their memory is still in use: nothing that refers to it may go.
    log::error("a fabric has not let go of memory; it is left behind");
    (void)x_peers.release();
    (void)std::make_unique<decltype(x_flights)>(std::move(x_flights)).release();
    for (auto& port : x_options.ports)
      (void)port.release();
  }
}

}  // namespace tarn::sdk
