#pragma once

#include "common/base/result.h"

namespace tarn::fabric {

// An eventfd that wakes a thread which sleeps on it. Thread-safe but for its destruction.
class Event {
 public:
  static Result<Event> open();
  Event(Event&& other) noexcept : x_fd(other.x_fd) { other.x_fd = -1; }
  Event& operator=(Event&&) = delete;
  ~Event();

  int fd() const { return x_fd; }
  // Makes fd() readable until clear().
  void signal() const;
  void clear() const;

 private:
  explicit Event(int fd) : x_fd(fd) {}
  int x_fd;
};

}  // namespace tarn::fabric
