#include "common/fabric/loop_mailbox.h"

namespace tarn::fabric {

bool LoopMessage::start_reading() {
  State expected = State::waiting;
  return state.compare_exchange_strong(expected, State::reading);
}

bool LoopMessage::take_back() {
  State expected = State::waiting;
  return state.compare_exchange_strong(expected, State::ended);
}

Status LoopMailbox::post_message(std::shared_ptr<LoopMessage> message) {
  const MutexLock lock(x_mutex);
  if (x_closed) return unavailable("loop port " + x_name + " is closed");
  if (x_message_count == kLoopInboxMessagesMax) {
    return overloaded("the inbox of loop port " + x_name + " is full");
  }
  ++x_message_count;
  x_events.push_back({LoopEvent::What::arrived, std::move(message), nullptr, Code::ok});
  x_event.signal();
  return Status::ok();
}

void LoopMailbox::post_end(std::shared_ptr<LoopMessage> message, Code code) {
  post({LoopEvent::What::sent, std::move(message), nullptr, code});
}

void LoopMailbox::post_lost(std::shared_ptr<LoopMailbox> peer) {
  post({LoopEvent::What::lost, nullptr, std::move(peer), Code::ok});
}

void LoopMailbox::post(LoopEvent event) {
  const MutexLock lock(x_mutex);
  if (x_closed) return;
  x_events.push_back(std::move(event));
  x_event.signal();
}

void LoopMailbox::take_all(std::vector<LoopEvent>* into) {
  TARN_CHECK(into->empty());
  const MutexLock lock(x_mutex);
  into->swap(x_events);
  x_message_count = 0;
}

bool LoopMailbox::arm() {
  const MutexLock lock(x_mutex);
  if (!x_events.empty()) return false;
  x_event.clear();
  return true;
}

bool LoopMailbox::empty() const {
  const MutexLock lock(x_mutex);
  return x_events.empty();
}

std::vector<LoopEvent> LoopMailbox::close() {
  const MutexLock lock(x_mutex);
  x_closed = true;
  x_message_count = 0;
  return std::move(x_events);
}

}  // namespace tarn::fabric
