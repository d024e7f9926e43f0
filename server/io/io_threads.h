#pragma once

#include <cstdint>
#include <deque>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "common/fabric/event.h"
#include "server/io/drive_file.h"
#include "server/io/io_operation.h"

namespace tarn::io {

// Threads that do pieces with blocking calls and signal an event after each. Thread-safe. Life:
// make (starts them), destroy (joins them: waits for a drive that hangs). Bounded by who pushes.
class IoThreads {
 public:
  struct Ended {
    uint32_t slot = 0;
    int64_t result = 0;  // bytes, or -errno
  };

  // Precondition: the drive and the event outlive it.
  IoThreads(const DriveFile& drive, const fabric::Event& event, uint32_t count);
  ~IoThreads();

  void push(const IoPiece& piece);
  // What has ended since the last call, into `into`, which is cleared.
  void take_ended(std::vector<Ended>& into);

 private:
  void run();
  int64_t perform(const IoPiece& piece) const;

  const DriveFile& x_drive;
  const fabric::Event& x_event;
  Mutex x_mutex;
  CondVar x_pushed;
  std::deque<IoPiece> x_waiting TARN_GUARDED_BY(x_mutex);
  std::vector<Ended> x_ended TARN_GUARDED_BY(x_mutex);
  bool x_stopping TARN_GUARDED_BY(x_mutex) = false;
  std::vector<std::thread> x_threads;
};

}  // namespace tarn::io
