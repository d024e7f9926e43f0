#pragma once

#include <map>
#include <memory>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "common/fabric/ended.h"
#include "common/fabric/loop_mailbox.h"

namespace tarn::fabric {

// Messages that have ended and are used again.
inline constexpr size_t kLoopSpareMax = 64;

// The state of a loop port, which its connections share. One-thread (the port's).
// Invariant: a message is in x_in_flight from send() until its end is known.
class LoopCore {
 public:
  LoopCore(LoopHub& hub, std::shared_ptr<LoopMailbox> mailbox)
      : x_hub(&hub), x_mailbox(std::move(mailbox)) {}

  const LoopMailbox& mailbox() const { return *x_mailbox; }
  void set_handler(Handler handler) { x_handler = std::move(handler); }
  Result<uint64_t> connect(ConnectOptions options);
  // A message to fill for send(), one that has ended where there is one.
  std::shared_ptr<LoopMessage> take_message();
  Status send(uint64_t connection_id, std::shared_ptr<LoopMessage> message);
  void close(uint64_t connection_id);
  size_t progress();
  bool arm() { return x_ended.empty() && x_mailbox->arm(); }
  bool idle() const { return x_in_flight.empty() && x_ended.empty(); }
  void shut_down();

  void set_maps(bool maps) { x_maps = maps; }
  bool maps() const { return x_maps; }

  // For the payload of the message that is being handled.
  void end_receive(ReceiveDone done, Code code, uint32_t crc32c) {
    x_ended.add(std::move(done), code, crc32c);
  }

 private:
  struct Peer {
    std::shared_ptr<LoopMailbox> mailbox;
    uint64_t link = 0;
    LostHandler on_lost;
    bool lost = false;
  };

  void on_arrived(const std::shared_ptr<LoopMessage>& message);
  void on_sent(const std::shared_ptr<LoopMessage>& message, Code code);
  void on_lost(const LoopMailbox& peer);
  void end_waiting(uint64_t connection_id, Code code);
  void tell_lost(uint64_t connection_id);
  uint64_t link_of(const LoopMailbox& peer) const;

  LoopHub* x_hub;  // null once the port is gone
  std::shared_ptr<LoopMailbox> x_mailbox;
  Handler x_handler;
  bool x_maps = true;
  std::map<uint64_t, Peer> x_peers;  // by connection id
  uint64_t x_last_id = 0;
  absl::flat_hash_map<LoopMessage*, std::shared_ptr<LoopMessage>> x_in_flight;
  std::vector<std::shared_ptr<LoopMessage>> x_spare;
  EndedCallbacks x_ended;
  std::vector<LoopEvent> x_taken;
};

}  // namespace tarn::fabric
