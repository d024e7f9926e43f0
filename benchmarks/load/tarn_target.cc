#include "benchmarks/load/tarn_target.h"

#include <algorithm>
#include <utility>

#include "benchmarks/load/child.h"
#include "benchmarks/load/pattern.h"

namespace tarn::load {
namespace {

// Larger than the last cache of any machine that we know.
constexpr uint64_t kBufferBytesMin = uint64_t{128} << 20;
constexpr uint64_t kBatchBytes = uint64_t{16} << 20;
constexpr uint64_t kBatchBlocksMax = 64;
constexpr uint64_t kSampleBlocks = 64;
constexpr int kPutTries = 50;
constexpr int64_t kFillSliceMs = 250;

std::string why(const BlockOutcome& outcome) {
  std::string text(outcome_name(outcome.outcome));
  return outcome.message.empty() ? text : text + ": " + outcome.message;
}

}  // namespace

Expected<std::unique_ptr<TarnTarget>> TarnTarget::open(const TarnTargetOptions& options) {
  auto client = Client::connect(options.client);
  if (!client) return client.error();
  auto space = client->open_space(bench_space(std::to_string(options.workload.block_bytes)));
  if (!space) return space.error();
  const uint64_t block_bytes = options.workload.block_bytes;
  const uint64_t in_flight_bytes = options.workload.inflight * block_bytes;
  auto buffer = client->allocate(std::max({kBufferBytesMin, 2 * in_flight_bytes, kBatchBytes}));
  if (!buffer) return buffer.error();
  std::unique_ptr<TarnTarget> target(
      new TarnTarget(options, *std::move(client), *std::move(space), std::move(buffer).value()));
  if (options.workload.op == Op::put) {
    for (uint64_t place = 0; place < target->places(); ++place)
      fill(target->memory(place), place);
    if (auto filled = target->fill_servers(); !filled) return filled.error();
    return target;
  }
  if (auto put = target->put_working_set(); !put) return put.error();
  if (auto checked = target->check_sample(); !checked) return checked.error();
  return target;
}

TarnTarget::TarnTarget(TarnTargetOptions options, Client client, Space space, Buffer buffer)
    : x_options(std::move(options)),
      x_client(std::move(client)),
      x_space(std::move(space)),
      x_buffer(std::move(buffer)),
      x_run(fresh_run()),
      x_blocks(std::max<uint64_t>(x_options.workload.inflight,
                                  x_options.working_set_bytes / x_options.workload.block_bytes)),
      x_op(x_options.workload.op),
      x_flights(x_options.workload.inflight) {}

std::span<std::byte> TarnTarget::memory(uint64_t place) const {
  const uint64_t bytes = x_options.workload.block_bytes;
  return {x_buffer.data() + place % places() * bytes, bytes};
}

Slice TarnTarget::slice(uint64_t place) const {
  const uint64_t bytes = x_options.workload.block_bytes;
  return x_buffer.slice(place % places() * bytes, bytes);
}

BlockHash TarnTarget::name_of(uint64_t number) const {
  return hash_of(x_run, number);
}

Expected<Done> TarnTarget::fill_servers() {
  for (uint64_t put_bytes = 0; put_bytes < x_options.fill_bytes;) {
    const auto slice = run(kFillSliceMs);
    if (!slice) return slice.error();
    put_bytes += slice.value().bytes;
  }
  return Done{};
}

Expected<Done> TarnTarget::put_working_set() {
  const uint64_t batch =
      std::clamp<uint64_t>(kBatchBytes / x_options.workload.block_bytes, 1, kBatchBlocksMax);
  for (uint64_t first = 0; first < x_blocks; first += batch) {
    Expected<Done> put = Done{};
    for (int tries = 0; tries < kPutTries; ++tries) {
      put = put_batch(first, std::min(batch, x_blocks - first));
      if (put) break;
    }
    if (!put) return put;
  }
  return Done{};
}

Expected<Done> TarnTarget::put_batch(uint64_t first, uint64_t count) {
  std::vector<PutItem> items;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t number = first + i;
    fill(memory(i), number);
    items.push_back({name_of(number), number == 0 ? BlockHash() : name_of(number - 1), {slice(i)}});
  }
  CallOptions options;
  options.copies = x_options.copies;
  if (x_options.is_flash) options.medium = Medium::flash;
  Transfer transfer = x_space.put_kv(items, options);
  if (auto ended = transfer.wait(); !ended) return ended.error();
  for (const BlockOutcome& outcome : transfer.outcomes()) {
    if (outcome.outcome != Outcome::ok && outcome.outcome != Outcome::exists) {
      return Error{outcome.outcome, "put of the working set: " + why(outcome)};
    }
  }
  return Done{};
}

Expected<Done> TarnTarget::check_sample() {
  const uint64_t step = std::max<uint64_t>(1, x_blocks / kSampleBlocks);
  for (uint64_t number = 0; number < x_blocks; number += step) {
    if (auto got = get_and_check(number); !got) return got;
  }
  return Done{};
}

Expected<Done> TarnTarget::get_and_check(uint64_t number) {
  const GetItem item{name_of(number), {slice(0)}};
  Transfer transfer = x_space.get_kv({&item, 1});
  if (auto ended = transfer.wait(); !ended) return ended.error();
  const BlockOutcome& outcome = transfer.outcomes()[0];
  if (outcome.outcome != Outcome::ok) return Error{outcome.outcome, "sample: " + why(outcome)};
  if (!is_filled(memory(0), number)) return Error{Outcome::corrupt, "sample: wrong bytes"};
  return Done{};
}

void TarnTarget::start(Flight& flight) {
  flight.number = x_next_block++;
  flight.place = x_next_place++;
  flight.started_ns = now_ns();
  CallOptions options;
  options.copies = x_options.copies;
  if (x_op == Op::put) {
    if (x_options.is_flash) options.medium = Medium::flash;
    const PutItem item{name_of(flight.number), {}, {slice(flight.place)}};
    flight.transfer = x_space.put_kv({&item, 1}, options);
  } else if (x_op != Op::get) {
    flight.number %= x_blocks;
    const ViewItem item{name_of(flight.number), x_options.workload.block_bytes};
    flight.transfer = x_space.get_views({&item, 1}, options);
  } else {
    flight.number %= x_blocks;
    const GetItem item{name_of(flight.number), {slice(flight.place)}};
    flight.transfer = x_space.get_kv({&item, 1}, options);
  }
}

BlockOutcome TarnTarget::outcome_of(Flight& flight) const {
  BlockOutcome outcome = flight.transfer->outcomes()[0];
  if (outcome.outcome != Outcome::ok || x_op == Op::put || x_op == Op::get) return outcome;
  const View view = flight.transfer->take_view(0);
  if (x_op != Op::verified_views) return outcome;
  if (const auto intact = view.verify(); !intact) outcome.outcome = intact.error().outcome;
  return outcome;
}

void TarnTarget::end(Flight& flight) {
  const BlockOutcome outcome = outcome_of(flight);
  const int64_t now = now_ns();
  if (outcome.outcome == Outcome::ok) {
    ++x_slice.blocks;
    x_slice.bytes += x_options.workload.block_bytes;
    x_slice.latency.add(static_cast<uint64_t>(now - flight.started_ns));
  } else {
    ++x_slice.errors;
    if (x_first_error.empty()) x_first_error = why(outcome);
  }
  flight.transfer.reset();
}

// Waits for the oldest, which mostly is the first to end, then takes along all that have ended.
void TarnTarget::go_round(int64_t end_ns) {
  size_t running = x_flights.size();
  for (size_t head = 0; running > 0; head = (head + 1) % x_flights.size()) {
    if (x_flights[head].transfer) (void)x_flights[head].transfer->wait();
    for (Flight& flight : x_flights) {
      if (!flight.transfer || !flight.transfer->poll()) continue;
      end(flight);
      if (now_ns() < end_ns) {
        start(flight);
      } else {
        --running;
      }
    }
  }
}

Expected<report::Slice> TarnTarget::run(int64_t millis) {
  x_slice = {};
  const int64_t cpu_before_ns = cpu_ns();
  const int64_t begin_ns = now_ns();
  for (Flight& flight : x_flights)
    start(flight);
  go_round(begin_ns + millis * 1'000'000);
  x_slice.wall_ns = now_ns() - begin_ns;
  x_slice.cpu_ns = cpu_ns() - cpu_before_ns;
  if (x_slice.blocks == 0)
    return Error{Outcome::unavailable, "nothing succeeded: " + x_first_error};
  if (auto checked = check_last(); !checked) return checked.error();
  return x_slice;
}

Expected<Done> TarnTarget::check_last() {
  if (x_slice.errors > 0) return Done{};
  if (x_op == Op::put) return check_put(x_flights[0]);
  if (x_op != Op::get) return check_view(x_flights[0].number);
  for (const Flight& flight : x_flights) {
    if (is_filled(memory(flight.place), flight.number)) continue;
    return Error{Outcome::corrupt, "block " + std::to_string(flight.number) + ": wrong bytes"};
  }
  return Done{};
}

// What was put last comes back as it was, if it is still there.
Expected<Done> TarnTarget::check_put(const Flight& flight) {
  const auto sent = memory(flight.place);
  std::vector<std::byte> room(sent.size());
  const GetItem item{name_of(flight.number), {Slice::of(room.data(), room.size())}};
  Transfer transfer = x_space.get_kv({&item, 1});
  if (auto ended = transfer.wait(); !ended) return ended.error();
  const BlockOutcome& outcome = transfer.outcomes()[0];
  const bool is_right = outcome.outcome == Outcome::ok &&
                        std::equal(room.begin(), room.end(), sent.begin(), sent.end());
  if (is_right || outcome.outcome == Outcome::miss) return Done{};
  return Error{Outcome::corrupt,
               "put block " + std::to_string(flight.number) + ": " + why(outcome)};
}

Expected<Done> TarnTarget::check_view(uint64_t number) {
  const ViewItem item{name_of(number), x_options.workload.block_bytes};
  Transfer transfer = x_space.get_views({&item, 1});
  if (auto ended = transfer.wait(); !ended) return ended.error();
  const View view = transfer.take_view(0);
  if (is_filled(view.bytes(), number) && !view.bytes().empty()) return Done{};
  return Error{Outcome::corrupt, "view of block " + std::to_string(number) + ": wrong bytes"};
}

int64_t TarnTarget::cpu_ns() const {
  int64_t sum = own_cpu_ns();
  for (const pid_t server : x_options.servers)
    sum += cpu_ns_of(server);
  return sum;
}

std::string TarnTarget::transport() const {
  const std::vector<ConnectionInfo> connections = x_client.connections();
  return connections.empty() ? "none" : connections[0].transport;
}

}  // namespace tarn::load
