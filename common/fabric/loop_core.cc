#include "common/fabric/loop_core.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/fabric/scatter.h"

namespace tarn::fabric {
namespace {

class LoopPayload : public Payload {
 public:
  LoopPayload(LoopCore& core, std::shared_ptr<LoopMessage> message)
      : x_core(core), x_message(std::move(message)), x_size(total_bytes(x_message->payload)) {}

  uint64_t size() const override { return x_size; }

  void receive(std::span<const MutableBytes> into, ReceiveDone done) override {
    TARN_CHECK(!x_received);
    TARN_CHECK(total_bytes(into) == x_size);
    x_received = true;
    ScatterWriter writer(into);
    for (const Bytes& part : x_message->payload)
      TARN_CHECK(writer.write(part));
    x_core.end_receive(std::move(done), Code::ok, writer.crc32c());
  }

  Result<View> view() override {
    TARN_CHECK(!x_received);
    if (!x_core.maps() || x_message->payload.size() != 1) {
      return unsupported("the loop hands out no view of this message");
    }
    x_received = x_viewed = true;
    return View{x_message->payload[0],
                [message = x_message] { message->from->post_end(message, Code::ok); }};
  }

  // The send goes on until the view is released.
  bool is_viewed() const { return x_viewed; }

 private:
  LoopCore& x_core;
  const std::shared_ptr<LoopMessage> x_message;
  const uint64_t x_size;
  bool x_received = false;
  bool x_viewed = false;
};

}  // namespace

Result<uint64_t> LoopCore::connect(ConnectOptions options) {
  TARN_CHECK(x_hub != nullptr);
  if (options.peer_address.empty()) return invalid_argument("the address of a loop port is empty");
  auto mailbox = x_hub->find(options.peer_address);
  if (mailbox == nullptr) return unavailable("no loop port " + options.peer_address);
  const uint64_t id = ++x_last_id;
  x_peers[id] = {std::move(mailbox), options.link, std::move(options.on_lost), false};
  return id;
}

std::shared_ptr<LoopMessage> LoopCore::take_message() {
  if (x_spare.empty()) return std::make_shared<LoopMessage>();
  std::shared_ptr<LoopMessage> message = std::move(x_spare.back());
  x_spare.pop_back();
  message->state.store(LoopMessage::State::waiting);
  return message;
}

Status LoopCore::send(uint64_t connection_id, std::shared_ptr<LoopMessage> message) {
  const auto found = x_peers.find(connection_id);
  if (x_hub == nullptr || found == x_peers.end()) return unavailable("the connection is closed");
  if (found->second.lost) return unavailable("the peer is gone");
  if (TARN_FAULT_POINT("fabric.loop_send")) return unavailable("fault point fabric.loop_send");
  message->from = x_mailbox;
  message->connection_id = connection_id;
  LoopMessage* const raw = message.get();
  x_in_flight[raw] = message;
  Status status = x_hub->carry(std::move(message), *found->second.mailbox);
  if (!status.is_ok()) x_in_flight.erase(raw);
  return status;
}

void LoopCore::close(uint64_t connection_id) {
  x_peers.erase(connection_id);
  end_waiting(connection_id, Code::cancelled);
}

// Ends what nobody reads; what is being read ends with the reader's own event.
void LoopCore::end_waiting(uint64_t connection_id, Code code) {
  for (auto each = x_in_flight.begin(); each != x_in_flight.end();) {
    LoopMessage& message = *each->first;
    if (message.connection_id == connection_id && message.take_back()) {
      x_ended.add(std::move(message.done), code);
      x_in_flight.erase(each++);
    } else {
      ++each;
    }
  }
}

size_t LoopCore::progress() {
  x_mailbox->take_all(&x_taken);
  size_t count = x_taken.size();
  for (const LoopEvent& event : x_taken) {
    switch (event.what) {
      case LoopEvent::What::arrived:
        on_arrived(event.message);
        break;
      case LoopEvent::What::sent:
        on_sent(event.message, event.code);
        break;
      case LoopEvent::What::lost:
        on_lost(*event.peer);
        break;
    }
  }
  x_taken.clear();
  count += x_ended.call_all();
  return count;
}

void LoopCore::on_arrived(const std::shared_ptr<LoopMessage>& message) {
  if (!message->start_reading()) return;
  LoopPayload payload(*this, message);
  if (x_handler) x_handler(link_of(*message->from), message->header, payload);
  if (!payload.is_viewed()) message->from->post_end(message, Code::ok);
}

void LoopCore::on_sent(const std::shared_ptr<LoopMessage>& message, Code code) {
  if (x_in_flight.erase(message.get()) == 0) return;
  const bool closed = !x_peers.contains(message->connection_id);
  x_ended.add(std::move(message->done), closed ? Code::cancelled : code);
  // The receiver may still hold it, but looks at it no more.
  if (x_spare.size() < kLoopSpareMax) x_spare.push_back(message);
}

void LoopCore::on_lost(const LoopMailbox& peer) {
  for (auto& [id, each] : x_peers) {
    if (each.mailbox.get() != &peer || each.lost) continue;
    each.lost = true;
    end_waiting(id, Code::unavailable);
    x_ended.add([this, id = id](Status) { tell_lost(id); }, Status::ok());
  }
}

void LoopCore::tell_lost(uint64_t connection_id) {
  const auto found = x_peers.find(connection_id);
  if (found == x_peers.end() || !found->second.on_lost) return;
  // Moved out first: the handler may close the connection, and with it its own storage.
  const LostHandler handler = std::move(found->second.on_lost);
  handler(unavailable("loop port " + found->second.mailbox->name() + " is gone"));
}

uint64_t LoopCore::link_of(const LoopMailbox& peer) const {
  for (const auto& [id, each] : x_peers) {
    if (each.mailbox.get() == &peer && !each.lost) return each.link;
  }
  return 0;
}

void LoopCore::shut_down() {
  TARN_CHECK(x_hub != nullptr);
  for (const auto& [raw, message] : x_in_flight)
    message->take_back();
  x_hub->remove(*x_mailbox);
  x_hub = nullptr;
  x_handler = nullptr;
}

}  // namespace tarn::fabric
