#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/mutex.h"
#include "common/fabric/grpc_inbox.h"

namespace tarn::fabric {

// The call of gRPC under a stream, a client's or a server's. Called with the stream's mutex held;
// none of these calls back before it returns.
class GrpcCall {
 public:
  virtual ~GrpcCall() = default;
  virtual void read(grpc::ByteBuffer* into) = 0;
  virtual void write(const grpc::ByteBuffer* message) = 0;
  // Called once: nothing more will be read or written, the call may end, for `why`.
  virtual void finish(const std::string& why) = 0;
};

// One frame to be written, and who is told of its end.
struct GrpcOutgoing {
  std::shared_ptr<GrpcInbox> owner;
  uint64_t connection_id = 0;
  uint64_t send_id = 0;
  uint64_t bytes = 0;
  grpc::ByteBuffer message;
};

// A stream of frames both ways between a client's port and all lanes of a server. Thread-safe:
// ports send, gRPC's threads read and write. Life: make, start, ..., broken (by either side, by a
// malformed frame or by close()), ended once gRPC has let go of the call.
// Limits: kGrpcOutboxBytesMax to be written; one frame that the inbox had no room for.
class GrpcStream : public std::enable_shared_from_this<GrpcStream> {
 public:
  struct Roles {
    // The inbox for a frame that names `lane`; null where there is none.
    std::function<std::shared_ptr<GrpcInbox>(uint32_t lane)> inbox_of;
    // gRPC has let go; called once, from one of its threads, with an event `lost`.
    std::function<void(GrpcEvent lost)> ended;
  };

  // `token`: the address of the client's port. `ordinal`: which of its streams, from 1 on.
  GrpcStream(std::string token, Roles roles, uint64_t ordinal = 0)
      : x_token(std::move(token)), x_ordinal(ordinal), x_roles(std::move(roles)) {}

  const std::string& token() const { return x_token; }
  uint64_t ordinal() const { return x_ordinal; }

  // Begins to read, or finishes the call of a stream that is broken already; `call` lives until
  // on_done().
  void start(GrpcCall* call);
  // True when a frame of `bytes` may be sent.
  bool has_room(uint64_t bytes);
  // Returns: ok, unavailable (broken).
  Status send(GrpcOutgoing outgoing);
  // Forgets what the connection has not begun to write.
  void drop(const GrpcInbox* owner, uint64_t connection_id);
  // Tries to deliver the frame that found no room, and reads on.
  void resume();
  void close() { break_off("closed"); }
  bool is_broken();

  // From the call.
  void on_read(bool ok);
  void on_write(bool ok);
  void on_done(const std::string& why, std::shared_ptr<void> call);

  void break_off(const std::string& why);

 private:
  void deliver(GrpcFrame frame);
  void break_locked(const std::string& why) TARN_REQUIRES(x_mutex);
  void write_next_locked() TARN_REQUIRES(x_mutex);
  void end_outbox(std::deque<GrpcOutgoing> outbox);

  const std::string x_token;
  const uint64_t x_ordinal;
  const Roles x_roles;
  Mutex x_mutex;
  // Null before start and once it is broken.
  GrpcCall* x_call TARN_GUARDED_BY(x_mutex) = nullptr;
  bool x_broken TARN_GUARDED_BY(x_mutex) = false;
  std::string x_why TARN_GUARDED_BY(x_mutex);
  grpc::ByteBuffer x_incoming TARN_GUARDED_BY(x_mutex);
  std::optional<GrpcFrame> x_parked TARN_GUARDED_BY(x_mutex);
  // The first is being written while x_writing.
  std::deque<GrpcOutgoing> x_outbox TARN_GUARDED_BY(x_mutex);
  uint64_t x_outbox_bytes TARN_GUARDED_BY(x_mutex) = 0;
  bool x_writing TARN_GUARDED_BY(x_mutex) = false;
};

}  // namespace tarn::fabric
