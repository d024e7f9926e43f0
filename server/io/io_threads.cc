#include "server/io/io_threads.h"

#include <unistd.h>

#include <cerrno>

#include "common/base/check.h"
#include "common/base/thread_name.h"

namespace tarn::io {

IoThreads::IoThreads(const DriveFile& drive, const fabric::Event& event, uint32_t count)
    : x_drive(drive), x_event(event) {
  TARN_CHECK(count > 0);
  for (uint32_t i = 0; i < count; ++i)
    x_threads.emplace_back([this] { run(); });
}

IoThreads::~IoThreads() {
  {
    const MutexLock lock(x_mutex);
    x_stopping = true;
  }
  x_pushed.notify_all();
  for (std::thread& thread : x_threads)
    thread.join();
}

void IoThreads::push(const IoPiece& piece) {
  {
    const MutexLock lock(x_mutex);
    x_waiting.push_back(piece);
  }
  x_pushed.notify_one();
}

void IoThreads::take_ended(std::vector<Ended>& into) {
  into.clear();
  const MutexLock lock(x_mutex);
  into.swap(x_ended);
}

void IoThreads::run() {
  set_thread_name("tarn-io");
  for (;;) {
    IoPiece piece;
    {
      const MutexLock lock(x_mutex);
      while (x_waiting.empty() && !x_stopping)
        x_pushed.wait(x_mutex);
      if (x_waiting.empty()) return;
      piece = x_waiting.front();
      x_waiting.pop_front();
    }
    const int64_t result = perform(piece);
    {
      const MutexLock lock(x_mutex);
      x_ended.push_back({piece.slot, result});
    }
    x_event.signal();
  }
}

int64_t IoThreads::perform(const IoPiece& piece) const {
  const int fd = x_drive.fd();
  const auto offset = static_cast<off_t>(piece.offset);
  ssize_t result = 0;
  switch (piece.kind) {
    case IoKind::read:
      result = ::pread(fd, piece.memory, piece.bytes, offset);
      break;
    case IoKind::write:
      result = ::pwrite(fd, piece.memory, piece.bytes, offset);
      break;
    case IoKind::flush:
      result = ::fdatasync(fd);
      break;
    case IoKind::discard:
      return -x_drive.discard(piece.offset, piece.bytes);
  }
  return result >= 0 ? result : -errno;
}

}  // namespace tarn::io
