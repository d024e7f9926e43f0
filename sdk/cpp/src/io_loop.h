#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "common/fabric/event.h"
#include "common/fabric/fabric.h"
#include "sdk/cpp/src/cluster_view.h"
#include "sdk/cpp/src/flight.h"
#include "sdk/cpp/src/peer_table.h"
#include "sdk/cpp/src/view.h"

namespace tarn::sdk {

// Flights on their way, or waiting to be taken up, in one client; one more is overloaded.
inline constexpr size_t kFlightsMax = 4096;

// While a thread that waits for a transfer does the loop's work, and for so long after it,
// "tarn-io" leaves the work to it: who waits for one transfer after another finds the loop free
// each time.
inline constexpr Nanos kLentMost = std::chrono::milliseconds(1);
// Between two looks of "tarn-io" at a loop that has been lent all the while: each look takes the
// processor from whoever works.
inline constexpr Nanos kParkedMost = std::chrono::milliseconds(4);
// Who submits keeps a lent loop for another kLentMost, if it has waited for a transfer so lately.
inline constexpr Nanos kWaitsOften = std::chrono::milliseconds(10);

// What a client does on its way to the storage servers: the ports, the connections and the flights,
// and no call that blocks. After work it spins for a while, then sleeps on the ports' fds. Its work
// is done by one thread at a time: by one that waits for a transfer, since to hand a block from
// thread to thread costs more than to ask for it, else by the thread "tarn-io". Public methods are
// thread-safe. Life: open, start, submit..., stop (ends what is left).
class IoLoop {
 public:
  struct Options {
    std::vector<std::unique_ptr<fabric::Port>> ports;
    std::vector<fabric::Offer> offers;  // one for each port, best first
    Micros spin{50};
    bool is_polling = false;    // while flights are under way it never sleeps
    double hedge_fraction = 0;  // of the blocks of gets
    uint64_t bytes_in_flight_max = 0;
    const ClusterView* cluster = nullptr;
    // These begin something elsewhere and never block.
    std::function<Status(ConnectCall)> connect;
    std::function<void()> refresh_config;
    std::function<void(std::vector<MissedAt>)> report_misses;
    // PeerTable::Options::ticket_end.
    std::function<int64_t()> ticket_end;
  };

  // Returns: ok, unavailable (no file descriptor).
  static Result<std::unique_ptr<IoLoop>> open(Options options);
  ~IoLoop();

  void start();
  // Returns the connections that were up until now. Idempotent.
  std::vector<Wireup> stop();

  // Returns: ok; overloaded, cancelled: then the flight has not begun.
  Status submit(std::shared_ptr<Flight> flight);
  // False when `until` passed first; meanwhile does the loop's work, where nobody else who waits
  // does.
  bool wait_for(const Awaited& awaited, Instant until);
  // The result of a Options::connect.
  void on_connected(ServerId server, uint64_t attempt, Result<Wireup> result);
  // There is a newer config, a transfer was cancelled, or a flight has its places.
  void wake();

  std::vector<ConnectionInfo> connections() const;
  // All that are connected do, so a put mostly need not bring the checksum of all its bytes. A
  // hint, of a moment ago.
  bool servers_sum_puts() const { return x_servers_sum_puts.load(std::memory_order_relaxed); }
  // Of gets that asked a second server. Thread-safe.
  const Hedges::Counters& hedge_counters() const { return x_hedges.counters(); }
  // The client's views, which the loop must outlive.
  ViewKeeper& views() { return x_views; }

 private:
  struct Connected {
    ServerId server;
    uint64_t attempt;
    Result<Wireup> result;
  };

  IoLoop(Options options, fabric::Event event, fabric::Event unparked);

  void run();
  void work_until_lent();
  bool is_lent() const;
  bool has_flights();
  void park(Nanos time);
  void unpark();
  void drive(const Awaited& awaited, Instant until);
  void begin_at_once();
  void stay_lent();
  size_t turn();
  size_t take_inbox();
  void follow_config();
  size_t progress_ports();
  size_t turn_flights();
  void ask_elsewhere();
  void publish_connections();
  void sleep(Instant until, bool is_driver);
  Nanos sleep_time(Instant until) const;
  bool may_sleep(Instant busy_until) const;
  void wait_readable(Nanos time);
  void shut_down();
  void signal();
  void give_back(std::function<void()> release);

  Options x_options;
  const fabric::Event x_event;
  std::thread x_thread;
  std::atomic<bool> x_is_stopping{false};
  std::atomic<bool> x_is_asleep{false};
  std::atomic<bool> x_has_mail{false};

  // Who waits for transfers, and whether one of them does the loop's work.
  const fabric::Event x_unparked;
  std::atomic<uint32_t> x_waiters{0};
  std::atomic<bool> x_is_driven{false};
  std::atomic<Instant> x_lent_until{Instant{}};
  std::atomic<Instant> x_crowded_until{Instant{}};
  std::atomic<Instant> x_waited_at{Instant{}};

  Mutex x_mutex;
  std::vector<std::shared_ptr<Flight>> x_inbox TARN_GUARDED_BY(x_mutex);
  std::vector<Connected> x_connected TARN_GUARDED_BY(x_mutex);
  std::vector<std::function<void()>> x_released TARN_GUARDED_BY(x_mutex);
  bool x_is_woken TARN_GUARDED_BY(x_mutex) = false;
  bool x_is_closed TARN_GUARDED_BY(x_mutex) = false;
  size_t x_flight_count TARN_GUARDED_BY(x_mutex) = 0;

  mutable Mutex x_info_mutex;
  std::vector<ConnectionInfo> x_info TARN_GUARDED_BY(x_info_mutex);
  std::atomic<bool> x_servers_sum_puts{false};

  // Held by whoever does the loop's work, all that follows is theirs.
  Mutex x_work_mutex;
  std::unique_ptr<PeerTable> x_peers;
  Hedges x_hedges;
  FlightDeck x_deck;
  std::vector<std::shared_ptr<Flight>> x_flights;
  std::vector<Wireup> x_closed;
  ViewKeeper x_views{[this](std::function<void()> release) { give_back(std::move(release)); }};
  Instant x_next_refresh{};
  Instant x_next_report{};
  Instant x_sleeps_until{};
  uint64_t x_rooms_seen = 0;
  bool x_peers_changed = false;
};

}  // namespace tarn::sdk
