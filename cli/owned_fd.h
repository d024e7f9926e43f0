#pragma once

#include <utility>

#include <unistd.h>

namespace tarn::cli {

// A file descriptor that is closed at its end. Move-only; one-thread.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : x_fd(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : x_fd(std::exchange(other.x_fd, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    std::swap(x_fd, other.x_fd);
    return *this;
  }
  ~OwnedFd() { reset(); }

  bool is_open() const { return x_fd >= 0; }
  int get() const { return x_fd; }
  void reset() {
    if (const int fd = std::exchange(x_fd, -1); fd >= 0) ::close(fd);
  }

 private:
  int x_fd = -1;
};

}  // namespace tarn::cli
