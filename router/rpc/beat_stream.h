#pragma once

#include <utility>

#include <grpcpp/support/server_callback.h>

#include "common/base/result.h"
#include "common/rpc/status.h"
#include "router/rpc/stream_seats.h"

namespace tarn::router {

// The server's end of a stream of heartbeats, each of which gets one answer: reads one, answers it,
// reads the next, so a peer that does not read its answers is not read either. Owns itself: gRPC
// ends its life. The derived class's functions are called one at a time.
template <typename Beat, typename Answer>
class BeatStream : public grpc::ServerBidiReactor<Beat, Answer> {
 public:
  explicit BeatStream(StreamSeats::Seat seat) : x_seat(std::move(seat)) {}

  // Call once, when the derived class stands.
  void begin() { this->StartRead(&x_beat); }

  void OnReadDone(bool ok) override {
    if (!ok) {
      ended();
      return this->Finish(grpc::Status::OK);
    }
    auto answer = heard(x_beat);
    if (!answer) {
      ended();
      return this->Finish(rpc::to_grpc(answer.error()));
    }
    x_answer = std::move(answer).value();
    this->StartWrite(&x_answer);
  }
  void OnWriteDone(bool ok) override {
    if (ok) return this->StartRead(&x_beat);
    ended();
    this->Finish(grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 protected:
  ~BeatStream() override = default;

  // An error ends the stream with it.
  virtual Result<Answer> heard(const Beat& beat) = 0;
  // The peer has gone, or has been refused. Called once.
  virtual void ended() = 0;

 private:
  StreamSeats::Seat x_seat;
  Beat x_beat;
  Answer x_answer;
};

}  // namespace tarn::router
