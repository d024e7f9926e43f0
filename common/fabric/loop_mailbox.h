#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/fabric/event.h"
#include "common/fabric/loop_port.h"

namespace tarn::fabric {

// A message between two loop ports. Its bytes are the sender's to set before it is posted; then the
// receiver reads them between start_reading() and the end event, unless the sender took it back.
struct LoopMessage {
  enum class State : uint8_t { waiting, reading, ended };

  std::shared_ptr<LoopMailbox> from;
  uint64_t connection_id = 0;
  std::vector<std::byte> header;
  std::vector<Bytes> payload;
  SendDone done;  // touched by the sender's thread only
  std::atomic<State> state{State::waiting};

  // The receiver's claim to the bytes; false when the sender took the message back.
  bool start_reading();
  // The sender's claim, or the hub's: true when nobody has read or will read the bytes.
  bool take_back();
};

struct LoopEvent {
  enum class What : uint8_t { arrived, sent, lost };
  What what;
  std::shared_ptr<LoopMessage> message;  // arrived, sent
  std::shared_ptr<LoopMailbox> peer;     // lost
  Code code = Code::ok;                  // sent
};

// What other ports tell one port. Thread-safe. Life: open, post and take_all, close (the port is
// gone; messages are refused). Limit: kLoopInboxMessagesMax messages; ends and losses are bounded
// by the messages in flight and the ports.
class LoopMailbox {
 public:
  LoopMailbox(std::string name, Event event) : x_name(std::move(name)), x_event(std::move(event)) {}

  const std::string& name() const { return x_name; }
  int event_fd() const { return x_event.fd(); }

  // Returns: ok, overloaded, unavailable (closed).
  Status post_message(std::shared_ptr<LoopMessage> message);
  void post_end(std::shared_ptr<LoopMessage> message, Code code);
  void post_lost(std::shared_ptr<LoopMailbox> peer);

  void take_all(std::vector<LoopEvent>* into);
  // True when nothing waits; from then on event_fd() tells of the next event.
  bool arm();
  bool empty() const;
  // Refuses messages from now on and hands back what waited.
  std::vector<LoopEvent> close();

 private:
  void post(LoopEvent event);

  const std::string x_name;
  const Event x_event;
  mutable Mutex x_mutex;
  std::vector<LoopEvent> x_events TARN_GUARDED_BY(x_mutex);
  size_t x_message_count TARN_GUARDED_BY(x_mutex) = 0;
  bool x_closed TARN_GUARDED_BY(x_mutex) = false;
};

}  // namespace tarn::fabric
