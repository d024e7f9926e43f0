#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/auth/ticket.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/fabric/fabric.h"
#include "common/fabric/link_list.h"
#include "common/fabric/link_op.h"
#include "common/wire/decode.h"
#include "common/wire/encode.h"

namespace tarn::fabric {

// Requests of one link in flight, whatever the server grants: a sequence stays within its replay
// window. Operations that wait for credit; one more is overloaded.
inline constexpr size_t kLinkRequestsMax = auth::ReplayWindow::kSequences;
inline constexpr size_t kLinkWaitingMax = 1024;
// How long a server may owe the answer to a request whose requester has gone.
inline constexpr Nanos kLinkAnswerGrace = std::chrono::seconds(1);

// Who a link is to the server: what came with ConnectResponse, and the lane that its connection
// leads to.
struct LinkIdentity {
  uint64_t connection_id = 0;
  std::array<uint8_t, 16> nonce{};
  Incarnation incarnation;
  uint16_t lane = 0;
  uint32_t credits = 64;              // requests in flight
  uint64_t credit_bytes = 64 * kMiB;  // payload bytes in flight
  bool pieces = false;                // the server knows requests for pieces, and cancel
};

// For metrics.
struct LinkCounters {
  wire::RefusalCounts refused;    // replies that are none, or are not signed by the server
  uint64_t unknown_replies = 0;   // to no request in flight
  uint64_t late_replies = 0;      // to a request whose deadline had passed
  uint64_t repeated_replies = 0;  // a second answer to the same item
  uint64_t foreign_replies = 0;   // of another type, or to items that were not asked for
  uint64_t size_mismatches = 0;   // blocks larger than the memory, or not of the exact size
  uint64_t corrupt_payloads = 0;  // that failed their checksum
  uint64_t deadlines = 0;         // operations ended by their deadline
};

struct LinkOptions {
  LinkIdentity identity;
  std::string client_key;  // K_t, came with the ticket over TLS
  // To the lane's port. Its LostHandler must lead to Link::lost.
  std::unique_ptr<Connection> connection;
  const Clock* clock = &system_clock();
  LinkCounters* counters = nullptr;  // shared by links of one thread, outlives them; null: its own
};

// The requesting side of the bulk protocol (docs/WIRE.md) towards one lane of one server, over one
// connection: numbers and signs requests, keeps within the credits, cuts large batches into several
// messages, checks every reply, and ends each operation once, when its memory is safe. The SDK's io
// thread has them, and a server's lanes for replication.
// One-thread (the connection's port's). Life: open, submit..., lost, wait for is_idle() while the
// port progresses, destroy. After a loss the owner opens a new one.
// The data path allocates nothing after open, but for the longest scatter list yet seen.
class Link {
 public:
  // Returns: the link, invalid_argument (no connection, no credit, malformed key).
  static Result<std::unique_ptr<Link>> open(LinkOptions options);
  // Precondition: is_idle().
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Begins an operation. Never calls back from inside. With ok, on_end will be called; else it will
  // not, and the object is the caller's again.
  // Returns: ok, invalid_argument (counts, sizes, names), overloaded (kLinkWaitingMax operations
  // wait already), unavailable (lost), unsupported (pieces, of a server that knows none).
  Status submit(GetOp& op);
  Status submit(PutOp& op);
  Status submit(KeysOp& op);
  Status submit(PingOp& op);

  // Takes a message of the server's, out of the port's Handler. What does not answer a request of
  // this link, signed, is counted and dropped.
  void on_message(Bytes header, Payload& payload);

  // Call it on every turn of the thread: sends what waits, and ends what is past its deadline. An
  // operation whose memory is being read or written just then takes the connection with it (that is
  // the only way to stop the other side): its link is lost, and all others end as unavailable.
  void expire(Instant now);

  // Brings the deadline of an operation in flight forward; expire() ends it then. A get's server is
  // told that nobody waits for it, and leaves what it has not begun to send.
  void hasten(LinkOp& op, Instant deadline);

  // When expire() will next have something to end; kNever for no deadline.
  Instant next_deadline() const { return x_next_deadline; }

  // Closes the connection, for `why`; each operation ends as soon as its memory is safe, past its
  // deadline with deadline_exceeded, else with unavailable. Idempotent.
  void lost(Status why);

  bool is_lost() const { return x_is_lost; }
  // Why, after a loss.
  const Status& lost_status() const { return x_lost_status; }
  // True when nothing is in flight and no callback is outstanding.
  bool is_idle() const { return x_requests == 0 && x_active.empty(); }

  const LinkIdentity& identity() const { return x_identity; }
  const LinkCounters& counters() const { return x_counters; }
  // The newest epoch that the server has named.
  Epoch server_epoch() const { return x_server_epoch; }

 private:
  using Codes = wire::BoundedList<Code, wire::kItemsMax>;

  // One message in flight; it lives at its sequence % kLinkRequestsMax.
  struct Request {
    bool is_used = false;
    bool is_sending = false;  // the payload's memory is being read
    bool pieces = false;      // of blocks were asked for
    LinkOp::Kind kind = LinkOp::Kind::ping;
    LinkOp* op = nullptr;  // null: given up, the answer is only awaited
    uint64_t sequence = 0;
    uint64_t bytes = 0;  // of credit
    size_t first = 0;    // of the operation's items
    size_t count = 0;
    size_t unsettled = 0;  // items without an outcome, or with a receive under way
    Instant give_up = kNever;
    std::bitset<wire::kItemsMax> answered;
  };
  // The next message of an operation.
  struct Chunk {
    size_t count = 0;
    uint64_t bytes = 0;
  };

  Link(LinkOptions options, auth::RequestMac mac);

  Status admit(LinkOp& op);
  void pump();
  Chunk next_chunk(const LinkOp& op) const;
  bool has_credit(const Chunk& chunk) const;
  bool send_chunk(LinkOp& op, const Chunk& chunk, Instant now);
  void encode_chunk(LinkOp& op, const Chunk& chunk, Instant now);
  void encode_get(const GetOp& op, const Chunk& chunk, const wire::RequestHead& head);
  void encode_keys(const KeysOp& op, const Chunk& chunk, const wire::RequestHead& head);
  void on_sent(size_t slot);

  wire::Refusal read(Bytes header, uint64_t payload_bytes);
  Request* find(uint64_t sequence);
  void accept(Request& request, const wire::GetReply& reply, Payload& payload);
  void accept(Request& request, const wire::PutReply& reply, Payload& payload);
  void accept(Request& request, const wire::ExistsReply& reply, Payload& payload);
  void accept(Request& request, const wire::RemoveReply& reply, Payload& payload);
  void accept(Request& request, const wire::Pong& reply, Payload& payload);
  void accept(Request& request, const wire::ErrorReply& reply, Payload& payload);
  void accept_codes(Request& request, LinkOp::Kind kind, const Codes& codes);
  bool claim(Request& request, LinkOp::Kind kind, size_t first, size_t count);
  bool take_view(Request& request, size_t item, Payload& payload);
  void receive_block(Request& request, size_t item, const wire::GetReply& reply, Payload& payload);
  void on_received(size_t slot, size_t item, Code code, uint32_t crc32c);

  void settle(Request& request, size_t item, Code code);
  void settle_block(GetOp& op, size_t index, Code code);
  void settle_rest(Request& request, Code code);
  void give_up_unsent(LinkOp& op, Code code);
  void release(Request& request);
  void finish_if_done(LinkOp& op);
  void give_up(LinkOp& op, Instant now);
  void cancel_at_server(const LinkOp& op);
  LinkOp* first_overdue(Instant now) const;
  void find_next_deadline();
  bool is_acknowledged(const LinkOp& op) const;
  void fail_all(Instant now);

  const LinkIdentity x_identity;
  const std::unique_ptr<Connection> x_connection;
  const Clock& x_clock;
  auth::RequestMac x_mac;
  std::vector<Request> x_slots;
  uint64_t x_next_sequence;
  size_t x_requests = 0;  // slots in use
  uint64_t x_bytes = 0;   // payload credit in use
  ActiveOps x_active;
  WaitingOps x_waiting;
  Instant x_next_deadline = kNever;
  bool x_is_lost = false;
  Status x_lost_status;
  Status x_send_error;     // a send that failed: expire() turns it into a loss
  bool x_calling = false;  // inside a caller's callback
  Epoch x_server_epoch;
  LinkCounters x_own_counters;
  LinkCounters& x_counters;

  // Scratch: large, or of growing size.
  wire::HeaderBuffer x_out;
  wire::HeaderBuffer x_in;
  wire::Envelope x_envelope;
  wire::Reply x_reply;
  wire::GetRequest x_get_request;
  wire::BoundedList<wire::BlockItem, wire::kItemsMax> x_keys;
  std::vector<MutableBytes> x_parts;
};

}  // namespace tarn::fabric
