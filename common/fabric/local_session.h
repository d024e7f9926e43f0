#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "common/base/clock.h"
#include "common/fabric/ended.h"
#include "common/fabric/fabric.h"
#include "common/fabric/local_area.h"
#include "common/fabric/local_memory.h"
#include "common/fabric/local_socket.h"
#include "common/fabric/scatter.h"

namespace tarn::fabric {

// Messages of one connection that wait for room; one more is overloaded.
inline constexpr size_t kLocalQueueMax = 256;
// Buffers that a client may pass over one socket, and their bytes.
inline constexpr size_t kLocalBuffersMax = 64;
inline constexpr uint64_t kLocalBufferBytesMax = 64ull << 30;

// What a port lets its peers hold. Past the first three it shows nothing that may be viewed, and
// past the third it takes no more connections of the owner. Past the others it maps no more: what
// lies there does not arrive (overloaded), as with a shortage of this process.
struct LocalLimits {
  uint64_t pinned_bytes = 256ull << 20;      // that one socket may view
  uint64_t owner_pinned_bytes = 1ull << 30;  // and all of an owner
  size_t owner_ended = 16;                   // connections that are over but for their views
  size_t owner_mappings = 512;
  size_t port_mappings = 2048;
  Nanos declined_pause = std::chrono::seconds(1);  // before a peer that had no room is asked again
};

// What the peers of one owner hold of a port, over all their sockets. One-thread (the port's).
struct LocalHoldings {
  uint64_t viewable_bytes = 0;  // may be viewed, or are
  size_t ended = 0;             // sessions that are over but for their views
  size_t mappings = 0;
};

// What peers did that they must not, and where payloads went. For metrics.
struct LocalCounters {
  uint64_t refused_hellos = 0;  // of no connection that was agreed on, or of another version
  uint64_t bad_notes = 0;       // over a socket: no note, out of turn, or a file too many
  uint64_t bad_memory = 0;      // memory that could be taken away, or too much of it
  uint64_t bad_indices = 0;     // words of a ring that cannot be
  uint64_t bad_records = 0;     // records that make no sense
  uint64_t bounced_bytes = 0;   // copied for the other side, which may not map them
  uint64_t shown_bytes = 0;     // mapped by the other side
};

class LocalSession;

// What the sessions of one port share. One-thread (the port's).
struct LocalDesk {
  bool is_server = false;
  int epoll_fd = -1;                    // watches the sessions' sockets; not owned
  std::shared_ptr<LocalMemory> memory;  // may be null: everything is copied
  Handler handler;
  Keeper keeper;  // may be null
  LocalLimits limits;
  size_t mappings = 0;  // of all peers
  EndedCallbacks ended;
  LocalCounters counters;
  // A server's: says to which connection a hello belongs and opens the session, or refuses it.
  std::function<Status(LocalSession&, const LocalNote&)> on_hello;
  // A view of the session has come to its end; null once the port is gone.
  std::function<void(uint64_t session, uint32_t id)> on_view_end;
  std::vector<std::byte> header = std::vector<std::byte>(kHeaderBytesMax);
};

// One socket with the memory that both sides share (docs/LOCAL.md), as one side sees it: sends and
// receives messages, shows payloads that the other side may map and copies the others through the
// bounce area. Believes nothing that it reads there. One-thread (the port's). Life: construct,
// open or welcome, visit..., end, destroy when is_done(). Limits: kLocalQueueMax, kLocalShownMax.
class LocalSession {
 public:
  // `number` is the port's name for it.
  LocalSession(std::shared_ptr<LocalDesk> desk, uint64_t number, LocalSocket socket);

  // A server's answer to a hello: shares new memory. `held` is what the client's owner holds.
  // Returns: ok, overloaded, unavailable.
  Status welcome(uint64_t link, const Domain& may_map, std::shared_ptr<LocalHoldings> held);
  // A client's greeting. Returns: ok, unavailable, overloaded.
  Status greet(const std::string& own_address, uint64_t link);

  // As Connection::send.
  Status send(Bytes header, std::span<const Bytes> payload, SendDone done);

  // Does what is ready, within bounds; returns how much that was.
  size_t visit();
  // The socket is readable, or may be.
  void read_socket();
  // The peer's process has ended, whoever else may hold its socket.
  void bury_peer();
  // False: visit again first. True: the socket becomes readable when something is to do.
  bool arm();

  // Ends all that is in flight; what is pinned when the peer has gone, or at once where
  // `frees_pinned`. Idempotent.
  void end(Code code, bool frees_pinned = false);

  // Why the session has to end; ok while it has not.
  const Status& failure() const { return x_failure; }
  bool is_over() const { return x_state == State::over; }
  bool is_waiting() const { return x_state == State::waiting; }
  // Over, and nothing of it is pinned any more.
  bool is_done() const { return is_over() && x_pinned == 0; }
  // No callback is outstanding.
  bool is_idle() const;

  void release_view(uint32_t id) { owe_release(id); }

 private:
  friend class LocalPayload;
  enum class State : uint8_t { waiting, up, over };

  // A message that waits for room, or is on its way through the bounce area.
  struct Outgoing {
    std::vector<std::byte> header;
    std::vector<Bytes> parts;
    SendDone done;
    uint64_t left = 0;
    size_t part = 0;
    size_t offset = 0;  // in that part
    bool is_begun = false;
    bool is_stopped = false;
  };
  // A payload that the peer may read until it says that it has.
  struct Shown {
    SendDone done;
    uint32_t id = 0;  // 0: free
    Bytes bytes;
    bool may_be_viewed = false;
    std::function<void()> release;  // of the keeper, once it is viewed
  };
  // What comes through the bounce area.
  struct Incoming {
    std::vector<MutableBytes> into;
    std::optional<ScatterWriter> writer;
    ReceiveDone done;
    uint64_t left = 0;
    uint32_t number = 0;
  };
  // What is copied out of the peer's memory.
  struct Taking {
    std::shared_ptr<const LocalMapping> mapping;
    Bytes from;
    std::vector<MutableBytes> into;
    std::optional<ScatterWriter> writer;
    ReceiveDone done;
    uint32_t id = 0;
  };

  // For the payload of the message in hand.
  void receive(const LocalRecord& record, std::span<const MutableBytes> into, ReceiveDone done);
  // The bytes where they are, pinned until release_view(). Returns: ok, unsupported (they came
  // through the bounce area), overloaded (the peer takes them back just now).
  struct Pinned {
    std::shared_ptr<const LocalMapping> mapping;
    std::shared_ptr<LocalSocket> socket;  // the peer keeps the pin while it is open
    Bytes bytes;
  };
  Result<Pinned> pin(const LocalRecord& record);
  // What lets go of it, once; also after the end of the session and of its port.
  std::function<void()> releaser(Pinned pinned, uint32_t id);

  void open(std::shared_ptr<LocalArea> area);
  void fail(Status why, uint64_t& counter);
  void lose(Status why);
  void give_up(Status why);
  void let_go_of_socket();
  void unpin_all();
  void on_note(const LocalNote& note, int passed);
  void on_region(const LocalNote& note, int passed);
  size_t read_records();
  void on_record(const LocalRecord& record, Bytes header);
  void on_message(const LocalRecord& record, Bytes header);
  void hand_over(const LocalRecord& record, Bytes header);
  void on_shown(const LocalRecord& record, Bytes header);
  void on_data(const LocalRecord& record);
  Shown* shown_as(uint32_t id);
  void on_release(uint32_t id);
  void on_pinned(uint32_t id);
  void keep(Shown& shown, Code code);
  void end_shown(Shown& shown, Code code);
  // What the peer has passed, which is null where it was not mapped; nothing for what it has not.
  std::optional<std::shared_ptr<const LocalMapping>> mapping_of(uint64_t region);
  Result<std::shared_ptr<const LocalMapping>> map(int passed, uint64_t bytes);
  bool may_be_viewed(uint64_t bytes) const;
  void end_incoming(Code code);
  bool advance(Taking& taking);
  size_t take_on();
  std::optional<Status> try_now(Bytes header, std::span<const Bytes> payload, SendDone& done);
  std::optional<Status> show(Bytes header, Bytes payload, SendDone& done);
  bool announce(const LocalMemory::Region& region);
  bool fits_at_server(uint64_t bytes);
  bool is_declined(uint64_t region);
  void on_unmapped(uint64_t region);
  // The peer has read all that it was to be told.
  bool has_told_all() const { return x_owed.empty() && x_writer->is_drained(); }
  void forget_gone();
  size_t pump();
  bool pump_front();
  bool push_bytes(Outgoing& front);
  bool write(LocalRecord record, Bytes header = {});
  // What the peer is owed word of, once its ring has room.
  struct Owed {
    LocalRecord::Type type = LocalRecord::Type::none;
    uint32_t id = 0;
    uint64_t region = 0;
  };
  void owe(Owed owed);
  void owe_release(uint32_t id);
  void pay_owed();
  void call_peer();
  void ring_bell(std::atomic<uint32_t>& wanted);

  const std::shared_ptr<LocalDesk> x_shared;
  LocalDesk& x_desk;
  const uint64_t x_number;
  std::shared_ptr<LocalSocket> x_socket;  // views hold it too: its end is theirs
  State x_state = State::waiting;
  Status x_failure;
  uint64_t x_link = 0;
  Domain x_may_map{};
  std::shared_ptr<LocalHoldings> x_held = std::make_shared<LocalHoldings>();
  std::shared_ptr<LocalArea> x_area;
  std::optional<LocalWriter> x_writer;
  std::optional<LocalReader> x_reader;
  bool x_is_armed = false;
  bool x_is_taken = false;  // the payload of the message in hand

  std::deque<Outgoing> x_queue;
  uint32_t x_bounced_out = 0;  // messages begun
  std::vector<Shown> x_shown;
  std::vector<uint32_t> x_shown_free;
  uint32_t x_shown_count = 0;
  uint32_t x_next_shown = 1;
  uint32_t x_pinned = 0;          // after the end
  uint32_t x_kept = 0;            // viewed, with a keeper: their sends have ended
  uint64_t x_viewable_bytes = 0;  // of what is shown and may be viewed, or is
  bool x_keeps_pins = true;       // the peer's process may still read
  std::unordered_map<uint64_t, uint64_t> x_announced;  // regions and their bytes
  // Regions for which the peer had no room, and when it is asked again.
  std::unordered_map<uint64_t, Instant> x_declined;
  // These, and what the peer may not have forgotten yet.
  size_t x_announced_count = 0;
  uint64_t x_announced_bytes = 0;
  uint64_t x_removals_seen = 0;

  Incoming x_incoming;
  std::deque<Taking> x_takings;
  uint64_t x_taking_bytes = 0;  // that they still have to copy
  // A client with much to copy lets the server sleep meanwhile, for so many bytes at most.
  bool x_owes_bell = false;
  uint64_t x_bell_after_bytes = 0;
  std::vector<Owed> x_owed;  // what found no room; at most one for each payload, or each region
  // Null: there was no room for it. What it shows from there does not arrive.
  std::unordered_map<uint64_t, std::shared_ptr<const LocalMapping>> x_mappings;
  uint64_t x_mapped_bytes = 0;
  size_t x_budget = 0;  // bytes that this visit may still copy
};

}  // namespace tarn::fabric
