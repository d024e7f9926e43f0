#pragma once

#include <functional>
#include <utility>

#include "common/base/check.h"
#include "common/fabric/local_session.h"

namespace tarn::fabric {

// The payload of the message in hand. Lives on the stack of its handler's call. One-thread.
class LocalPayload : public Payload {
 public:
  LocalPayload(LocalSession& session, const LocalRecord& record)
      : x_session(session), x_record(record) {}

  uint64_t size() const override { return x_record.payload_bytes; }

  void receive(std::span<const MutableBytes> into, ReceiveDone done) override {
    x_session.receive(x_record, into, std::move(done));
  }

  Result<View> view() override {
    TARN_ASSIGN_OR_RETURN(LocalSession::Pinned pinned, x_session.pin(x_record));
    const Bytes bytes = pinned.bytes;
    return View{bytes, x_session.releaser(std::move(pinned), x_record.id)};
  }

 private:
  LocalSession& x_session;
  const LocalRecord& x_record;
};

}  // namespace tarn::fabric
