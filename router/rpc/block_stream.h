#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "common/base/mutex.h"
#include "common/metrics/registry.h"
#include "common/rpc/credentials.h"
#include "proto/tarn/v1/storage.grpc.pb.h"
#include "router/index/index.h"
#include "router/index/stream_mark.h"

namespace tarn::router {

// What all streams of a router count.
struct StreamMetrics {
  explicit StreamMetrics(metrics::Registry& registry);

  metrics::Counter& events;
  metrics::Counter& gaps;
  metrics::Counter& reconnects;
  metrics::Counter& scanned_ranges;
  metrics::Counter& doubts;
  metrics::Counter& dropped_doubts;
};

// Which server a stream follows, and where it takes up.
struct StreamOrigin {
  index::Index* index = nullptr;
  StreamMetrics* metrics = nullptr;
  rpc::TlsMaterial tls;
  std::string endpoint;
  index::StreamMark mark;  // the server, and what the index stands for; incarnation 0: nothing
};

// Follows the blocks of one storage server into the index: its events as they come; after a gap, a
// lost batch or a new incarnation its inventory as well, range by range, while the events go on;
// and the inventory of one extent that somebody doubts, one every kDoubtPause at most, so that
// nobody can make the router bother a server. Thread-safe. Two threads, "tarn-blocks" and
// "tarn-inventory", from construction to destruction. Reconnects after at most kBackoffMax.
// Invariant: is_synced only while the stream is connected, nothing was lost since the last whole
// inventory, and all events that the server had when it was asked are in the index.
class BlockStream {
 public:
  static constexpr Millis kBackoffMin{20};
  static constexpr Millis kBackoffMax{200};
  static constexpr Millis kDoubtPause{2};
  // Doubts that wait, and those of one tenant among them. More are dropped: they come again.
  static constexpr size_t kDoubtsMax = 256;
  static constexpr size_t kTenantDoubtsMax = 64;

  explicit BlockStream(StreamOrigin origin);
  ~BlockStream();
  BlockStream(const BlockStream&) = delete;
  BlockStream& operator=(const BlockStream&) = delete;

  const std::string& endpoint() const { return x_origin.endpoint; }
  bool is_synced() const;
  // What the index stands for; incarnation 0 while not synced.
  index::StreamMark mark() const;
  // Has the server asked what it holds of the extent. Blocks for nothing.
  void doubt(const index::Doubt& doubt);
  // Ends the threads' work soon, without waiting; the rows stay.
  void stop();
  // The server is gone: at once nothing is found on it. Ends the threads' work.
  void retire();

 private:
  using Stub = v1::StorageControl::Stub;
  // The scanner's next work.
  struct Task {
    enum class Kind : uint8_t { verify, resync, check };
    Kind kind = Kind::check;
    uint64_t number = 0;  // of the connection, or of the loss
    index::Handle handle = index::kNoHandle;
    index::ScanArea area{};
  };

  void watch();
  void watch_once();
  void take(const v1::BlockEvents& message);
  void take_gap(const v1::BlockEvents& message);
  bool apply(const v1::BlockEvents& message);
  bool wait_backoff(int attempt);
  bool pause(Millis span);

  void scan();
  std::optional<Task> next_task();
  bool run(const Task& task);
  bool resync(index::Handle handle, uint64_t wanted);
  bool scan_area(index::Handle handle, const index::ScanArea& area, Millis timeout);
  bool verify(uint64_t connection);
  using CallSlot = std::unique_ptr<grpc::ClientContext> BlockStream::*;
  grpc::ClientContext* begin_call(CallSlot slot);
  void end_call(CallSlot slot);
  bool is_synced_locked() const TARN_REQUIRES(x_mutex);
  bool has_work_locked() const TARN_REQUIRES(x_mutex);

  const StreamOrigin x_origin;
  std::shared_ptr<Stub> x_stub;

  mutable Mutex x_mutex;
  CondVar x_changed;
  bool x_stopping TARN_GUARDED_BY(x_mutex) = false;
  index::Handle x_handle TARN_GUARDED_BY(x_mutex) = index::kNoHandle;
  uint64_t x_incarnation TARN_GUARDED_BY(x_mutex) = 0;
  uint64_t x_sequence TARN_GUARDED_BY(x_mutex) = 0;    // all events up to it are in the index
  uint64_t x_connection TARN_GUARDED_BY(x_mutex) = 0;  // rises with each connection
  bool x_connected TARN_GUARDED_BY(x_mutex) = false;
  uint64_t x_verified TARN_GUARDED_BY(x_mutex) = 0;       // the connection that was verified
  uint64_t x_caught_up_at TARN_GUARDED_BY(x_mutex) = 0;   // sequence of the server then
  uint64_t x_resync_wanted TARN_GUARDED_BY(x_mutex) = 0;  // rises with each loss
  uint64_t x_resync_done TARN_GUARDED_BY(x_mutex) = 0;
  std::deque<index::Doubt> x_doubts TARN_GUARDED_BY(x_mutex);
  std::unique_ptr<grpc::ClientContext> x_watch_call TARN_GUARDED_BY(x_mutex);
  std::unique_ptr<grpc::ClientContext> x_scan_call TARN_GUARDED_BY(x_mutex);

  std::thread x_watcher;
  std::thread x_scanner;
};

}  // namespace tarn::router
