#pragma once

#include <deque>
#include <utility>

#include <grpcpp/support/server_callback.h>

#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/rpc/status.h"
#include "router/rpc/stream_seats.h"

namespace tarn::router {

// What a stream does when its reader is slower than the news.
enum class WhenFull {
  keep_latest,  // of what was not sent yet only the newest is kept
  end,          // ends with `overloaded`: the reader must not miss any
};

// Messages that wait for one reader.
inline constexpr size_t kStreamQueueMax = 256;

// The server's end of a stream that only it writes. Owns itself: gRPC ends its life. push() and
// finish() may be called from any thread while the derived class can be sure that it lives, which a
// Subscription among its members gives.
template <typename Message>
class StreamWriter : public grpc::ServerWriteReactor<Message> {
 public:
  StreamWriter(StreamSeats::Seat seat, WhenFull when_full)
      : x_seat(std::move(seat)), x_when_full(when_full) {}

  void push(Message message) {
    bool is_full = false;
    {
      MutexLock lock(x_mutex);
      if (x_is_finished) return;
      // The first in the queue is being written.
      if (x_when_full == WhenFull::keep_latest) {
        while (x_queue.size() > 1)
          x_queue.pop_back();
      }
      is_full = x_queue.size() >= kStreamQueueMax;
      if (!is_full) x_queue.push_back(std::move(message));
      if (x_queue.size() == 1 && !is_full) this->StartWrite(&x_queue.front());
    }
    if (is_full) finish(overloaded("the reader of this stream is too slow"));
  }

  // Ends the stream; only the first call counts. The object may be gone when it returns.
  void finish(const Status& status) {
    {
      MutexLock lock(x_mutex);
      if (std::exchange(x_is_finished, true)) return;
    }
    this->Finish(rpc::to_grpc(status));
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return finish(cancelled("the reader has gone"));
    MutexLock lock(x_mutex);
    TARN_CHECK(!x_queue.empty());
    x_queue.pop_front();
    if (!x_queue.empty() && !x_is_finished) this->StartWrite(&x_queue.front());
  }
  void OnCancel() override { finish(cancelled("the reader has gone")); }
  void OnDone() override { delete this; }

 protected:
  ~StreamWriter() override = default;

 private:
  StreamSeats::Seat x_seat;
  const WhenFull x_when_full;
  Mutex x_mutex;
  std::deque<Message> x_queue TARN_GUARDED_BY(x_mutex);
  bool x_is_finished TARN_GUARDED_BY(x_mutex) = false;
};

// A stream that is refused. Owns itself.
template <typename Reactor>
class RefusedStream : public Reactor {
 public:
  explicit RefusedStream(const Status& status) { this->Finish(rpc::to_grpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace tarn::router
