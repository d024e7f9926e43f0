#include "router/rpc/block_stream.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/base/thread_name.h"
#include "common/rpc/status.h"
#include "router/rpc/stored_block.h"

namespace tarn::router {
namespace {

constexpr Millis kRangeTimeout{30'000};
constexpr Millis kProbeTimeout{1'000};

v1::InventoryRequest inventory_of(const index::ScanArea& area) {
  constexpr int kShift = 64 - index::kRangeBits;
  const bool is_extent = area.anchor_print != 0;
  const uint64_t first = uint64_t{area.range} << kShift;
  const uint64_t last = first | (UINT64_MAX >> index::kRangeBits);
  v1::InventoryRequest request;
  request.set_first_position(is_extent ? area.position.value : first);
  request.set_last_position(is_extent ? area.position.value : last);
  return request;
}

}  // namespace

StreamMetrics::StreamMetrics(metrics::Registry& registry)
    : events(registry.counter("tarn_index_events_total", "Block events taken in.")),
      gaps(registry.counter("tarn_index_gaps_total", "Times that events of a server were lost.")),
      reconnects(registry.counter("tarn_index_reconnects_total", "Event streams that ended.")),
      scanned_ranges(registry.counter("tarn_index_scanned_ranges_total", "Ring ranges resynced.")),
      doubts(registry.counter("tarn_index_doubts_total",
                              "Extents that a server was asked for after a miss.")),
      dropped_doubts(registry.counter("tarn_index_dropped_doubts_total",
                                      "Misses that were not looked into: too many waited.")) {}

BlockStream::BlockStream(StreamOrigin origin) : x_origin(std::move(origin)) {
  TARN_CHECK(x_origin.index != nullptr && x_origin.metrics != nullptr);
  x_handle = x_origin.index->attach(x_origin.mark.server);
  x_incarnation = x_origin.mark.incarnation.value;
  x_sequence = x_origin.mark.sequence;
  const auto channel = rpc::open_channel(x_origin.endpoint, auth::Role::server, x_origin.tls);
  if (!channel) {
    log::error("server {}: {}", x_origin.mark.server.value, channel.error().to_string());
    return;  // never synced: the config names an endpoint that nobody can reach
  }
  x_stub = v1::StorageControl::NewStub(*channel);
  x_watcher = std::thread([this] { watch(); });
  x_scanner = std::thread([this] { scan(); });
}

BlockStream::~BlockStream() {
  stop();
  if (x_watcher.joinable()) x_watcher.join();
  if (x_scanner.joinable()) x_scanner.join();
}

void BlockStream::stop() {
  const MutexLock lock(x_mutex);
  x_stopping = true;
  if (x_watch_call) x_watch_call->TryCancel();
  if (x_scan_call) x_scan_call->TryCancel();
  x_changed.notify_all();
}

void BlockStream::retire() {
  stop();
  const MutexLock lock(x_mutex);
  x_origin.index->retire(x_handle);
}

bool BlockStream::is_synced_locked() const {
  return x_connected && x_resync_done == x_resync_wanted && x_verified == x_connection &&
         x_sequence >= x_caught_up_at;
}

bool BlockStream::has_work_locked() const {
  if (!x_connected || x_incarnation == 0) return false;
  return x_resync_done != x_resync_wanted || x_verified != x_connection || !x_doubts.empty();
}

bool BlockStream::is_synced() const {
  const MutexLock lock(x_mutex);
  return is_synced_locked();
}

index::StreamMark BlockStream::mark() const {
  const MutexLock lock(x_mutex);
  index::StreamMark mark;
  mark.server = x_origin.mark.server;
  if (!is_synced_locked()) return mark;
  mark.incarnation = {x_incarnation};
  mark.sequence = x_sequence;
  mark.handle = x_handle;
  return mark;
}

// Null when the stream is stopping.
grpc::ClientContext* BlockStream::begin_call(CallSlot slot) {
  const MutexLock lock(x_mutex);
  if (x_stopping) return nullptr;
  this->*slot = std::make_unique<grpc::ClientContext>();
  return (this->*slot).get();
}

void BlockStream::end_call(CallSlot slot) {
  const MutexLock lock(x_mutex);
  (this->*slot).reset();
}

bool BlockStream::wait_backoff(int attempt) {
  return pause(std::min(kBackoffMax, kBackoffMin * (1 << std::min(attempt, 4))));
}

// False when the stream is stopping.
bool BlockStream::pause(Millis span) {
  const Instant end = system_clock().now() + span;
  const MutexLock lock(x_mutex);
  while (!x_stopping) {
    const Nanos left = end - system_clock().now();
    if (left.count() <= 0) return true;
    x_changed.wait_for(x_mutex, left);
  }
  return false;
}

void BlockStream::watch() {
  set_thread_name("tarn-blocks");
  for (int attempt = 0;; ++attempt) {
    const uint64_t before = x_origin.metrics->events.value();
    watch_once();
    if (x_origin.metrics->events.value() != before) attempt = 0;
    if (!wait_backoff(attempt)) return;
  }
}

// One connection, from beginning to end.
void BlockStream::watch_once() {
  grpc::ClientContext* const call = begin_call(&BlockStream::x_watch_call);
  if (call == nullptr) return;
  v1::WatchBlocksRequest request;
  {
    const MutexLock lock(x_mutex);
    request.set_incarnation(x_incarnation);
    request.set_after_sequence(x_sequence);
    x_connected = true;  // not synced before it is verified
    ++x_connection;
    x_changed.notify_all();
  }
  const auto stream = x_stub->WatchBlocks(call, request);
  v1::BlockEvents message;
  while (stream->Read(&message))
    take(message);
  const Status why = rpc::from_grpc(stream->Finish());
  log::debug("server {}: event stream: {}", x_origin.mark.server.value, why.to_string());
  x_origin.metrics->reconnects.add();
  {
    const MutexLock lock(x_mutex);
    x_connected = false;
  }
  end_call(&BlockStream::x_watch_call);
}

void BlockStream::take(const v1::BlockEvents& message) {
  bool is_lost = message.gap();
  {
    const MutexLock lock(x_mutex);
    is_lost |= message.incarnation() != x_incarnation;
    is_lost |= message.events_size() > 0 && message.first_sequence() != x_sequence + 1;
  }
  if (is_lost) take_gap(message);
  if (!apply(message)) take_gap(message);
  const auto count = static_cast<uint64_t>(message.events_size());
  x_origin.metrics->events.add(count);
  const MutexLock lock(x_mutex);
  if (count > 0) {
    x_sequence = message.first_sequence() + count - 1;
  } else if (message.gap() && message.first_sequence() > 0) {
    x_sequence = message.first_sequence() - 1;
  }
}

// Events before these are lost. Under another incarnation the server began anew, so that nothing of
// what it had counts any more.
void BlockStream::take_gap(const v1::BlockEvents& message) {
  x_origin.metrics->gaps.add();
  const MutexLock lock(x_mutex);
  if (x_stopping) return;
  if (message.incarnation() != x_incarnation) {
    if (x_incarnation != 0) {
      x_origin.index->retire(x_handle);
      x_handle = x_origin.index->attach(x_origin.mark.server);
    }
    x_incarnation = message.incarnation();
    x_caught_up_at = 0;
  }
  ++x_resync_wanted;
  x_changed.notify_all();
}

// False when the events did not get into the index.
bool BlockStream::apply(const v1::BlockEvents& message) {
  if (TARN_FAULT_POINT("index.apply_batch")) return false;
  const std::vector<index::BlockEvent> events = events_from(message);
  index::Handle handle;
  {
    const MutexLock lock(x_mutex);
    handle = x_handle;
  }
  x_origin.index->apply(handle, events);
  return true;
}

void BlockStream::doubt(const index::Doubt& doubt) {
  const MutexLock lock(x_mutex);
  if (std::find(x_doubts.begin(), x_doubts.end(), doubt) != x_doubts.end()) return;
  const auto own = std::count_if(x_doubts.begin(), x_doubts.end(), [&](const index::Doubt& each) {
    return each.tenant == doubt.tenant;
  });
  if (x_doubts.size() >= kDoubtsMax || static_cast<size_t>(own) >= kTenantDoubtsMax) {
    x_origin.metrics->dropped_doubts.add();
    return;
  }
  x_doubts.push_back(doubt);
  x_changed.notify_all();
}

// Waits for work; none when the stream is stopping.
std::optional<BlockStream::Task> BlockStream::next_task() {
  const MutexLock lock(x_mutex);
  while (!x_stopping && !has_work_locked())
    x_changed.wait(x_mutex);
  if (x_stopping) return std::nullopt;
  if (x_resync_done != x_resync_wanted) return Task{Task::Kind::resync, x_resync_wanted, x_handle};
  if (x_verified != x_connection) return Task{Task::Kind::verify, x_connection, x_handle};
  TARN_CHECK(!x_doubts.empty());
  const Task task{Task::Kind::check, 0, x_handle, x_doubts.front().area};
  x_doubts.pop_front();
  return task;
}

bool BlockStream::run(const Task& task) {
  switch (task.kind) {
    case Task::Kind::verify:
      return verify(task.number);
    case Task::Kind::resync:
      return resync(task.handle, task.number);
    case Task::Kind::check:
      break;
  }
  x_origin.metrics->doubts.add();
  return scan_area(task.handle, task.area, kProbeTimeout) && pause(kDoubtPause);
}

void BlockStream::scan() {
  set_thread_name("tarn-inventory");
  for (int failures = 0;;) {
    const auto task = next_task();
    if (!task) return;
    failures = run(*task) ? 0 : failures + 1;
    if (failures > 0 && !wait_backoff(failures)) return;
  }
}

bool BlockStream::resync(index::Handle handle, uint64_t wanted) {
  x_origin.index->sweep_retired();
  for (uint32_t range = 0; range < index::kRanges; ++range) {
    if (!scan_area(handle, {range}, kRangeTimeout)) return false;
    x_origin.metrics->scanned_ranges.add();
  }
  const MutexLock lock(x_mutex);
  // What was lost meanwhile asks for another one.
  x_resync_done = wanted;
  log::info("server {}: inventory taken", x_origin.mark.server.value);
  return true;
}

// Makes the index hold of the area what the server has there. False when not all of it came.
bool BlockStream::scan_area(index::Handle handle, const index::ScanArea& area, Millis timeout) {
  grpc::ClientContext* const call = begin_call(&BlockStream::x_scan_call);
  if (call == nullptr) return false;
  rpc::set_timeout(*call, timeout);
  x_origin.index->begin_scan(handle, area);
  const auto stream = x_stub->Inventory(call, inventory_of(area));
  v1::InventoryChunk chunk;
  std::vector<index::StoredBlock> blocks;
  bool done = false;
  while (stream->Read(&chunk)) {
    blocks.clear();
    for (const v1::StoredBlock& stored : chunk.blocks()) {
      if (auto block = from_proto(stored)) blocks.push_back(*block);
    }
    x_origin.index->add_scanned(handle, blocks);
    const MutexLock lock(x_mutex);
    done = chunk.done() && chunk.incarnation() == x_incarnation;
  }
  done &= stream->Finish().ok();
  end_call(&BlockStream::x_scan_call);
  x_origin.index->end_scan(handle, done);
  return done;
}

// Asks for nothing but the head of an inventory: a server that resumed a stream and has no news
// says nothing on it.
bool BlockStream::verify(uint64_t connection) {
  grpc::ClientContext* const call = begin_call(&BlockStream::x_scan_call);
  if (call == nullptr) return false;
  rpc::set_timeout(*call, kProbeTimeout);
  uint64_t taken_in = 0;
  {
    const MutexLock lock(x_mutex);
    taken_in = x_sequence;
  }
  v1::InventoryRequest nothing;
  nothing.set_first_position(1);
  const auto stream = x_stub->Inventory(call, nothing);
  v1::InventoryChunk head;
  v1::InventoryChunk chunk;
  while (stream->Read(&chunk))
    head = chunk;
  const bool ok = stream->Finish().ok() && head.done();
  end_call(&BlockStream::x_scan_call);
  if (!ok) return false;
  const MutexLock lock(x_mutex);
  // Another incarnation: the event stream will say so too, and ask for an inventory.
  if (head.incarnation() != x_incarnation) return false;
  // Fewer events than we have seen: the server counts anew, whatever its incarnation says.
  if (head.sequence() < taken_in) ++x_resync_wanted;
  x_caught_up_at = head.sequence();
  x_verified = connection;
  return true;
}

}  // namespace tarn::router
