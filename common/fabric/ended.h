#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "common/fabric/fabric.h"

namespace tarn::fabric {

// Callbacks whose operation has ended and that wait for progress() to call them: no port calls a
// caller back from inside the caller's own send(), receive() or close(). One-thread (the port's).
// Limit: the operations that the port allows in flight.
class EndedCallbacks {
 public:
  void add(SendDone done, Code code) {
    if (done) x_ended.push_back({std::move(done), {}, {}, code, 0, {}});
  }
  void add(ReceiveDone done, Code code, uint32_t crc32c) {
    if (done) x_ended.push_back({{}, std::move(done), {}, code, crc32c, {}});
  }
  void add(LostHandler lost, Status why) {
    if (lost) x_ended.push_back({{}, {}, std::move(lost), Code::ok, 0, std::move(why)});
  }

  bool empty() const { return x_ended.empty(); }

  // Calls what was added before this call; what these calls add waits for the next one.
  size_t call_all() {
    x_calling.swap(x_ended);
    const size_t count = x_calling.size();
    for (Entry& entry : x_calling)
      call(entry);
    x_calling.clear();
    return count;
  }

 private:
  struct Entry {
    SendDone sent;
    ReceiveDone received;
    LostHandler lost;
    Code code;
    uint32_t crc32c;
    Status why;
  };

  static void call(Entry& entry) {
    if (entry.sent) entry.sent(entry.code);
    if (entry.received) entry.received(entry.code, entry.crc32c);
    if (entry.lost) entry.lost(std::move(entry.why));
  }

  std::vector<Entry> x_ended;
  std::vector<Entry> x_calling;
};

}  // namespace tarn::fabric
