// What a message costs on each fabric, and what the ways to wait for one cost: the figures behind
// the decisions on polling in docs/ARCHITECTURE.md.
#include <benchmark/benchmark.h>
#include <poll.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/fabric/ucx_port.h"

namespace tarn::micro {
namespace {

using fabric::Bytes;
using fabric::MutableBytes;

// Look for work so long before sleeping.
constexpr int64_t kNeverSleep = -1;

// One side: a port, its connection to the other, and how it waits.
struct Side {
  std::unique_ptr<fabric::UcxPort> port;
  std::unique_ptr<fabric::Connection> to_peer;
  int64_t spin_us = kNeverSleep;
  Instant last_work;

  void turn() {
    if (port->progress() > 0) {
      last_work = system_clock().now();
      return;
    }
    if (spin_us == kNeverSleep) return;
    if (system_clock().now() - last_work < Micros(spin_us) || !port->arm()) return;
    pollfd entry{port->event_fd(), POLLIN, 0};
    poll(&entry, 1, 100);
  }
};

Side open_side(fabric::Kind kind, int64_t spin_us) {
  auto context = fabric::UcxContext::open({.kind = kind, .device = "lo"});
  TARN_CHECK(context.has_value());
  fabric::UcxPort::Options options;
  options.context = *context;
  auto port = fabric::UcxPort::open(std::move(options));
  TARN_CHECK(port.has_value());
  return {*std::move(port), nullptr, spin_us, {}};
}

void connect(Side& from, const Side& to) {
  auto made = from.port->connect({.peer_address = to.port->address(), .link = 1, .on_lost = {}});
  TARN_CHECK(made.has_value());
  from.to_peer = *std::move(made);
}

// Threads that only burn time, at the same priority: the rest of a busy machine.
class Hogs {
 public:
  explicit Hogs(int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      x_threads.emplace_back([this] {
        while (!x_stop.load(std::memory_order_relaxed)) {
        }
      });
    }
  }
  ~Hogs() {
    x_stop = true;
    for (std::thread& thread : x_threads)
      thread.join();
  }

 private:
  std::atomic<bool> x_stop = false;
  std::vector<std::thread> x_threads;
};

// A server thread answers each message with one of `bytes`, which the client receives into memory
// that is larger than the caches. `depth` questions are under way.
class Echo {
 public:
  Echo(fabric::Kind kind, int64_t spin_us, size_t bytes)
      : x_client(open_side(kind, spin_us)),
        x_server(open_side(kind, spin_us)),
        x_from(kPoolBytes),
        x_into(kPoolBytes),
        x_bytes(bytes) {
    connect(x_server, x_client);
    connect(x_client, x_server);
    x_server.port->set_handler([this](uint64_t, Bytes, fabric::Payload&) { answer(); });
    x_client.port->set_handler(
        [this](uint64_t, Bytes, fabric::Payload& payload) { take(payload); });
    x_thread = std::thread([this] { serve(); });
  }
  ~Echo() {
    x_stop = true;
    ask();
    while (!x_stopped)
      x_client.turn();
    x_thread.join();
    x_client.to_peer.reset();
    x_server.to_peer.reset();
    while (!x_client.port->idle() || !x_server.port->idle()) {
      x_client.port->progress();
      x_server.port->progress();
    }
  }

  void ask() {
    const std::array<std::byte, 8> header{};
    TARN_CHECK(x_client.to_peer->send(header, {}, {}).is_ok());
  }
  // Until one more answer has come; several may come in one turn.
  void wait() {
    while (x_answers == x_waited_for)
      x_client.turn();
    ++x_waited_for;
  }

 private:
  static constexpr size_t kPoolBytes = size_t{64} << 20;

  void serve() {
    while (!x_stop)
      x_server.turn();
    x_stopped = true;
  }

  void answer() {
    const Bytes part = Bytes(x_from).subspan(next(&x_from_at), x_bytes);
    const std::array<std::byte, 8> header{};
    const std::span<const Bytes> payload(&part, x_bytes == 0 ? 0 : 1);
    TARN_CHECK(x_server.to_peer->send(header, payload, [](Code) {}).is_ok());
  }

  void take(fabric::Payload& payload) {
    if (payload.size() == 0) {
      ++x_answers;
      return;
    }
    const MutableBytes into = MutableBytes(x_into).subspan(next(&x_into_at), payload.size());
    payload.receive({&into, 1}, [this](Code, uint32_t) { ++x_answers; });
  }

  size_t next(size_t* at) const {
    const size_t here = *at;
    *at = here + 2 * x_bytes > kPoolBytes ? 0 : here + x_bytes;
    return here;
  }

  Side x_client;
  Side x_server;
  std::vector<std::byte> x_from;
  std::vector<std::byte> x_into;
  const size_t x_bytes;
  size_t x_from_at = 0;
  size_t x_into_at = 0;
  uint64_t x_answers = 0;
  uint64_t x_waited_for = 0;
  std::atomic<bool> x_stop = false;
  std::atomic<bool> x_stopped = false;
  std::thread x_thread;
};

void run(benchmark::State& state, fabric::Kind kind) {
  const auto bytes = static_cast<size_t>(state.range(0));
  const int64_t depth = state.range(1);
  Echo echo(kind, state.range(2), bytes);
  echo.ask();
  echo.wait();
  const Hogs hogs(state.range(3));
  for (int64_t i = 0; i < depth; ++i)
    echo.ask();
  for (auto _ : state) {
    echo.wait();
    echo.ask();
  }
  for (int64_t i = 0; i < depth; ++i)
    echo.wait();
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}

void port_tcp(benchmark::State& state) {
  run(state, fabric::Kind::ucx);
}
void port_shm(benchmark::State& state) {
  run(state, fabric::Kind::ucx_shm);
}

// Round trips of 8 bytes one at a time, and 256 KiB eight at a time, by the ways to wait: never
// sleeping, sleeping at once, looking for 50 us first; on a machine to itself and a busy one.
void waits(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"bytes", "depth", "spin_us", "hogs"})->UseRealTime()->MinTime(0.2);
  for (const int64_t hogs : {0, 2}) {
    for (const int64_t spin_us : {kNeverSleep, int64_t{0}, int64_t{50}}) {
      bench->Args({0, 1, spin_us, hogs});
      bench->Args({256 << 10, 8, spin_us, hogs});
    }
  }
}
BENCHMARK(port_tcp)->Apply(waits);
BENCHMARK(port_shm)->Apply(waits);

}  // namespace
}  // namespace tarn::micro
