#pragma once

// Tarn: put the KV cache of a conversation away, get it back on any GPU. This is the one header of
// the C++ SDK to include; it needs the standard library alone. Sizes are bytes, times ms or as
// named.
//
// Thread safety: Client, Space and Session may be used by many threads at once, and copies of them
// are cheap handles to the same thing; a Transfer, a Buffer or a Worker is for one. Nothing throws.
// Calls of a child that fork() made after connect() end with unsupported.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tarn/expected.h"
#include "tarn/options.h"

namespace tarn {

// 1 to 32 opaque bytes that name a block: from the engine, or from a Hasher.
using BlockHash = std::string;

// One KV geometry: KV of different spaces never mixes. All fields together are its identity.
struct SpaceSpec {
  std::string model;
  std::string revision;
  std::string dtype;
  std::string layout;  // the order of a block's bytes, in your words: "layers,2,heads,tokens,dim"
  uint32_t block_tokens = 16;
  uint32_t tensor_parallel = 1;
  // sha256_cbor, sha256_u32le, or a name of your own for your own hashes
  std::string hash_scheme = "sha256_cbor";
  std::string hash_seed = "0";  // empty where the scheme has none
  bool flat = false;            // blocks are keys without a chain
  uint32_t extent_blocks = 32;  // blocks of a chain that are placed together (G), 1 to 64
};

struct MoveOnly {
  MoveOnly() = default;
  MoveOnly(MoveOnly&&) = default;
  MoveOnly& operator=(MoveOnly&&) = default;
};

// A run of bytes in memory of yours, or in a Buffer (by Buffer::slice).
struct Slice {
  std::byte* data = nullptr;
  size_t size = 0;
  uint64_t buffer_id = 0;

  static Slice of(const void* data, size_t size) {
    return {static_cast<std::byte*>(const_cast<void*>(data)), size, 0};
  }
};

// Memory that transfers may use for long, registered once: of the SDK's, or yours. It is freed
// after transfers that use it have ended; slices of a freed one are refused.
class Buffer : MoveOnly {
 public:
  std::byte* data() const;
  size_t size() const;
  // Past the end of the buffer the slice is empty, and calls refuse it.
  Slice slice(size_t offset, size_t size) const;

 private:
  friend class Client;
  struct Impl;
  explicit Buffer(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> x_impl;
};

// One block to keep. Items of one call that belong to one chain stand in chain order.
struct PutItem {
  BlockHash hash;
  BlockHash parent;  // the block before it; empty for a chain's first, and in flat spaces
  // Together the block's bytes, 1 byte to 64 MiB; read until the transfer has ended.
  std::vector<Slice> slices;
  uint32_t shard = 0;
};

struct GetItem {
  BlockHash hash;
  std::vector<Slice> slices;  // their sizes sum up to the block's
  uint32_t shard = 0;
};

struct ViewItem {
  BlockHash hash;
  // The most that the block may have, and what it counts for of ClientOptions::in_flight_bytes_max:
  // name the block's size where you know it.
  uint64_t bytes_max = uint64_t{64} << 20;
  uint32_t shard = 0;
};

// A block's bytes, to read where they are; nobody writes to them until the view is released, or
// destroyed. Keeps its client alive. May be used by many threads, but for release().
class View : MoveOnly {
 public:
  // Empty where there was no such block, and once released. The begin lies at a multiple of 4096.
  std::span<const std::byte> bytes() const;
  // True: memory of the server, mapped, which no byte has left and nobody has verified. False: the
  // way to the server maps nothing, so the view owns a copy, whose checksum was right.
  bool is_mapped() const;
  // Reads the bytes and compares their CRC32C with that of the put. Returns: ok, corrupt; miss for
  // an empty view.
  Expected<Done> verify() const;
  void release();

 private:
  friend class Transfer;
  struct Impl;
  explicit View(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> x_impl;
};

// What became of one item, in the order of the call.
struct BlockOutcome {
  Outcome outcome = Outcome::internal;
  uint64_t bytes = 0;   // the block's; also where a get had more room and was invalid_argument
  uint32_t copies = 0;  // put: in how many failure domains the block now is
  std::string server;   // get: who sent it
  std::string message;  // why, where the outcome is an error
};

// A running put, get or get_views. Its destructor cancels what is not done and waits until memory
// is safe.
class Transfer : MoveOnly {
 public:
  // Readable once the transfer has ended; for select, poll, epoll or an event loop. Valid as long
  // as the Transfer. -1 where the process has no file descriptor left: wait() and poll() do.
  int fd() const;
  // Has it ended? Never blocks.
  bool poll() const;
  // Blocks until it has ended, or for timeout_ms; with 0 until its own deadline ends it, and up to
  // 1.5 s past that where I/O is stuck. Returns: ok; deadline_exceeded: it has not ended, outcomes
  // are not settled. A miss is not an error: look at outcomes().
  Expected<Done> wait(uint32_t timeout_ms = 0);
  // Asks it to end soon; what is not done by then becomes `cancelled`.
  void cancel();
  // With CallOptions::layer_ends: how many layers, from the first on, have landed. Their checksums
  // were right as the servers sent them; the last one is told only when each whole block has the
  // checksum of its put as well, so let out nothing made of the others before. Never blocks.
  uint32_t layers_ready() const;
  // Readable when layers_ready() would tell more than it did last, and once the transfer has ended.
  int layer_fd() const;
  // Waits as wait() does for layer `layer`, counted from 0. Returns: ok; deadline_exceeded;
  // invalid_argument (no such layer); the outcome of the block because of which it never lands. For
  // one thread at a time, which also has layers_ready() and layer_fd().
  Expected<Done> wait_layer(uint32_t layer, uint32_t timeout_ms = 0);
  // One for each item, in the order of the call; settled once the transfer has ended.
  std::span<const BlockOutcome> outcomes() const;
  // True when it has ended and each outcome is ok (puts: or exists).
  bool all_ok() const;
  // Of a get_views that has ended: the view of an item that is ok, which outlives the transfer.
  // Empty for another item, and where it was taken already.
  View take_view(size_t item);

 private:
  friend class Space;
  struct Impl;
  explicit Transfer(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> x_impl;
};

struct MatchRun {
  uint32_t first = 0;  // index into the hashes asked for
  uint32_t count = 0;
  std::string server;  // the best holder
  std::string tier;    // "dram"
  uint64_t estimated_us = 0;
};

struct MatchResult {
  uint32_t matched = 0;  // usable prefix, in blocks
  std::vector<MatchRun> runs;
  bool partial = false;  // a router is still learning what is stored: there may be more
};

// A session as it stands.
struct Manifest {
  std::string session_id;
  uint64_t version = 0;
  uint64_t block_count = 0;
  std::vector<BlockHash> blocks;  // in token order
  uint64_t token_count = 0;
  std::vector<uint32_t> token_ids;  // of the full blocks, if they were given
  std::string tail;                 // opaque, at most 64 KiB
  bool pinned = false;
  int64_t expires_unix_ms = 0;  // 0: never
  std::string parent;           // the session it was forked from
};

// What an append adds. Blocks are those after the manifest's last, already put.
struct Append {
  std::vector<BlockHash> blocks;
  uint64_t token_count = 0;  // the new total, tail included
  std::vector<uint32_t> token_ids;
  std::string tail;  // replaces the old tail
};

struct Truncate {
  uint64_t block_count = 0;  // blocks to keep
  uint64_t token_count = 0;
  std::string tail;
};

// A named, versioned chain of blocks that any worker can resume by its id.
class Session {
 public:
  const std::string& id() const;
  // Compare-and-swap on the version; retried under one request id, so never applied twice. Returns
  // the new version; conflict, miss, invalid_argument, unavailable, deadline_exceeded.
  Expected<uint64_t> append(uint64_t expected_version, const Append& what,
                            CallOptions options = {});
  // Its manifest as of now. Returns: miss, unavailable, deadline_exceeded.
  Expected<Manifest> resolve(CallOptions options = {}) const;
  // A new session with the same blocks; copies no KV. An empty id draws one. Returns: exists, miss,
  // unavailable, deadline_exceeded.
  Expected<Session> fork(std::string new_id = {}, CallOptions options = {}) const;
  // Keeps the first blocks alone. Compare-and-swap as append(), and its codes.
  Expected<uint64_t> truncate(uint64_t expected_version, const Truncate& to,
                              CallOptions options = {});
  // Keeps the session past its TTL, or no longer; its blocks may still be evicted. Returns: miss,
  // unavailable, deadline_exceeded.
  Expected<Done> pin(bool pinned, CallOptions options = {});
  // 0: never expires. Counted from now. Returns: miss, invalid_argument, unavailable,
  // deadline_exceeded.
  Expected<Done> set_ttl(int64_t ttl_ms, CallOptions options = {});
  // Forgets the session; its blocks stay. Returns: unavailable, deadline_exceeded.
  Expected<Done> remove(CallOptions options = {});

 private:
  friend class Space;
  struct Impl;
  explicit Session(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> x_impl;
};

// One KV geometry of the caller's tenant.
class Space {
 public:
  const SpaceSpec& spec() const;
  std::string id() const;  // 32 hexadecimal digits

  // Starts keeping the blocks; never blocks for long. Item outcomes: ok, exists, kept_less;
  // unavailable, overloaded, deadline_exceeded, cancelled, permission_denied; invalid_argument.
  Transfer put_kv(std::span<const PutItem> items, CallOptions options = {});
  // Starts fetching the blocks, in this order. Item outcomes: ok, miss, corrupt; unavailable,
  // overloaded, deadline_exceeded, cancelled, invalid_argument: then the memory holds anything.
  Transfer get_kv(std::span<const GetItem> items, CallOptions options = {});
  // Starts a get without a copy where a way to do so is there (View::is_mapped): one code path for
  // both. A client holds up to 4,096 views; a block more is overloaded. Item outcomes as of get_kv.
  Transfer get_views(std::span<const ViewItem> items, CallOptions options = {});
  // Asks the owners of up to 8,192 hashes: certain when they answer. One bool for each hash.
  Expected<std::vector<bool>> exists(std::span<const BlockHash> hashes, CallOptions options = {});
  // Asks a router for the longest usable prefix of up to 8,192 hashes; may lag a put by 100 ms.
  Expected<MatchResult> match(std::span<const BlockHash> hashes, CallOptions options = {});

  // An empty id draws one. Returns: exists for an id that is taken.
  Expected<Session> create_session(std::string id = {}, int64_t ttl_ms = 0,
                                   CallOptions options = {});
  // Asks nobody: a session that does not exist, or is of another space, shows with its first call.
  Session open_session(std::string id);
  // Manifests without blocks, tokens and tail, in order of id.
  Expected<std::vector<Manifest>> list_sessions(std::string_view prefix = {},
                                                CallOptions options = {});

 private:
  friend class Client;
  friend class Session;
  struct Impl;
  explicit Space(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> x_impl;
};

struct WorkerSpec {
  std::string name;
  std::string endpoint;  // where your balancer sends requests; opaque to Tarn
  uint32_t capacity = 1;
  double prefill_tokens_per_s = 0;
};

// A registered GPU worker: beats in the background until destroyed; silence is its death.
class Worker : MoveOnly {
 public:
  void set_load(uint32_t running, uint32_t queued);  // what the next beat says
  void set_draining(bool draining);
  bool should_drain() const;  // has an operator asked it to finish and leave?
  bool connected() const;     // is the last beat answered?

 private:
  friend class Client;
  struct Impl;
  explicit Worker(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> x_impl;
};

struct RouteQuery {
  std::string session_id;
  std::vector<BlockHash> hashes;  // instead of a session: the request's prefix
  uint32_t new_tokens = 0;
  std::vector<std::string> exclude;  // names of workers that the caller saw fail
};

struct RouteChoice {
  std::string worker;
  std::string endpoint;
  uint32_t cached_tokens = 0;
  uint64_t estimated_fetch_us = 0;
};

struct ConnectionInfo {
  std::string server;
  std::string endpoint;
  std::string transport;  // "ucx: tcp over lo", "grpc: TLS"
  std::string note;       // why nothing better was taken
};

// Since the client was made.
struct ClientCounters {
  uint64_t blocks_asked_twice = 0;  // see ClientOptions::hedge_fraction
  uint64_t blocks_from_second = 0;  // of those: the second server was first
};

class Client {
 public:
  // Proves who it is to a router. Returns: ok, unavailable, unauthenticated, invalid_argument.
  static Expected<Client> connect(ClientOptions options = {});

  // Registers the space if new. Returns: ok, invalid_argument, unavailable, permission_denied.
  Expected<Space> open_space(const SpaceSpec& spec, CallOptions options = {});

  // Zeroed, page-aligned memory. Returns: ok, invalid_argument, overloaded (there is no more).
  Expected<Buffer> allocate(size_t size);
  // Registers memory of yours, which must outlive the Buffer.
  Expected<Buffer> register_memory(void* data, size_t size);
  Expected<Worker> register_worker(const Space& space, const WorkerSpec& spec);
  // Which worker should serve this request. Returns: ok, unavailable (no worker is alive).
  Expected<RouteChoice> route(const Space& space, const RouteQuery& query,
                              CallOptions options = {});

  // One for each storage server that this client has talked to.
  std::vector<ConnectionInfo> connections() const;
  ClientCounters counters() const;

 private:
  struct Impl;
  explicit Client(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> x_impl;
};

// Prefix hashes of token blocks, as the engines compute them. Immutable after open; thread-safe.
class Hasher {
 public:
  // scheme: "sha256_cbor" (vLLM; seed is PYTHONHASHSEED) or "sha256_u32le" (SGLang; takes no seed).
  static Expected<Hasher> open(std::string_view scheme, std::string_view seed,
                               uint32_t block_tokens);
  // Hashes of the full blocks of `tokens`, in order. `extra`: the adapter's name, then the cache
  // salt, empty where there is none; u32le takes neither, and gives no hashes then.
  std::vector<BlockHash> hash(std::span<const uint32_t> tokens,
                              std::span<const std::string> extra = {}) const;

 private:
  struct Impl;
  explicit Hasher(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> x_impl;
};

// The SDK's version, and the UCX it runs on if any: "0.1.0 (UCX 1.13.1)".
std::string version();

}  // namespace tarn
