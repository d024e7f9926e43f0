#include "common/fabric/event.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

#include "common/base/check.h"

namespace tarn::fabric {

Result<Event> Event::open() {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) {
    return unavailable("no eventfd for a fabric port: " + std::generic_category().message(errno));
  }
  return Event(fd);
}

Event::~Event() {
  if (x_fd >= 0) close(x_fd);
}

void Event::signal() const {
  const uint64_t one = 1;
  const ssize_t written = write(x_fd, &one, sizeof(one));
  // A full counter is as readable as it gets.
  TARN_CHECK(written == sizeof(one) || errno == EAGAIN);
}

void Event::clear() const {
  uint64_t count = 0;
  const ssize_t got = read(x_fd, &count, sizeof(count));
  TARN_CHECK(got == sizeof(count) || errno == EAGAIN);
}

}  // namespace tarn::fabric
