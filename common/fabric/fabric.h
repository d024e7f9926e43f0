#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/base/status.h"

namespace tarn::fabric {

// How bytes travel between two processes. One port of one kind belongs to one thread.
enum class Kind : uint8_t { loop = 0, grpc = 1, ucx = 2, ucx_shm = 3, local = 4 };

std::string_view kind_name(Kind kind);

// The most that the header of one message may hold; a longer one is invalid_argument at the sender.
inline constexpr size_t kHeaderBytesMax = 7936;

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

// All callbacks come from inside progress(), on its thread; none comes from inside the send(),
// receive() or close() that it belongs to. They may send, receive and close, but not progress().

// The end of a send: called once, when the payload's memory is no longer read. Codes: ok (handed to
// the peer's fabric), unavailable (the peer is gone), cancelled (closed), internal. Capture at most
// two pointers: the data path allocates nothing.
using SendDone = std::function<void(Code)>;

// The end of a receive: called once, when the memory is no longer written. With ok, `crc32c` is
// that of all bytes in order.
using ReceiveDone = std::function<void(Code, uint32_t crc32c)>;

// Bytes that lie in the peer's memory, mapped into this process, until `release` is called: once,
// on the port's thread, also when the connection is long closed, but not after the port. Until then
// nobody writes to them.
struct View {
  Bytes bytes;
  std::function<void()> release;
};

// What a message brings besides its header: bytes that move only when asked for. Valid during the
// handler's call; one of receive and view may be called there, once; neither means refused, and the
// peer's send ends. One-thread (the port's).
class Payload {
 public:
  virtual ~Payload() = default;

  // 0 when the message brought none.
  virtual uint64_t size() const = 0;

  // Moves the bytes into `into`, whose sizes sum up to size(); the memory must live until `done`
  // was called, also when the connection is closed meanwhile. `into` itself is copied.
  virtual void receive(std::span<const MutableBytes> into, ReceiveDone done) = 0;

  // The bytes where they are, without a copy; their CRC32C is not looked at. After an error
  // receive() may still be called. Returns: ok, unsupported (the fabric maps nothing, or not
  // these), overloaded (too many views).
  virtual Result<View> view() { return unsupported("this fabric maps no memory: copy instead"); }
};

// A message arrived. The header is not aligned and not verified: copy it out, check every length.
// `link` is what the accepting or connecting side was given for this peer, 0 where the fabric
// cannot tell.
using Handler = std::function<void(uint64_t link, Bytes header, Payload& payload)>;

// The peer is gone or misbehaved; called at most once per connection, and never once it was closed.
using LostHandler = std::function<void(Status why)>;

// The way to one peer. One-thread (its port's). Life: connect, send..., close; destroying it closes
// it. After close, callbacks of what was in flight still come during later progress() calls of the
// port, which must go on until then.
class Connection {
 public:
  virtual ~Connection() = default;

  // Sends header and payload as one message; messages of one connection may overtake each other.
  // The header is copied before the call returns, the payload's memory is read until `done`.
  // Returns: ok, invalid_argument (header too long), unavailable (lost or closed: `done` is not
  // called), overloaded (the send queue is full: `done` is not called).
  virtual Status send(Bytes header, std::span<const Bytes> payload, SendDone done) = 0;

  // Ends all that is in flight, soon, with cancelled: the tool of every deadline. Idempotent.
  virtual void close() = 0;
};

struct ConnectOptions {
  std::string peer_address;  // the peer port's address(), as it came through StorageControl.Connect
  uint64_t link = 0;  // handed to the Handler with messages of this peer, where the fabric can tell
  LostHandler on_lost;
};

// One end of a fabric: a worker of UCX, a queue of gRPC frames, an end of a loop. One-thread: every
// call but wake() comes from the thread that drives progress(). Life: open (by its kind),
// set_handler, progress..., destroy when idle() says so.
class Port {
 public:
  virtual ~Port() = default;

  virtual Kind kind() const = 0;

  // Opaque; lets a peer's port connect to this one.
  virtual std::string address() const = 0;

  // What carries the bytes, in words for people: "tcp over lo", "gRPC over TLS".
  virtual std::string transport() const = 0;

  virtual void set_handler(Handler handler) = 0;

  // Begins a connection; a peer that cannot be reached shows later, through on_lost.
  // Returns: ok, invalid_argument (malformed address), unavailable.
  virtual Result<std::unique_ptr<Connection>> connect(ConnectOptions options) = 0;

  // Does what is ready, calling handlers and callbacks; returns how much that was, 0 for nothing.
  // Never blocks.
  virtual size_t progress() = 0;

  // True: nothing is ready, and event_fd() becomes readable when something is. False: call
  // progress() again first.
  virtual bool arm() = 0;

  virtual int event_fd() const = 0;

  // True when no callback is outstanding.
  virtual bool idle() const = 0;

  // Operations so far whose connection was closed and whose callback did not come in time; their
  // memory stays taken until it does. 0 where a close always ends everything.
  virtual uint64_t quarantined_total() const { return 0; }

  // Tells the port that `memory` will be used for payloads for long: pinned and registered once.
  // Optional.
  virtual Status register_memory(MutableBytes memory) {
    (void)memory;
    return Status::ok();
  }
};

}  // namespace tarn::fabric
