#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/metrics/registry.h"
#include "server/object/store/pack_catalog.h"
#include "server/object/store/pack_reader.h"
#include "server/object/store/pack_writer.h"

namespace tarn::object {

struct ObjectStoreOptions {
  S3Options s3;
  std::string server;      // its name: its packs lie in a folder of their own
  uint64_t bytes_max = 0;  // of all packs; kPacksMin of them at least
  uint64_t pack_bytes = 64u << 20;
  uint64_t put_bytes_per_s = 0;  // 0: any
  Nanos seal_after = std::chrono::seconds(30);
  Nanos tick_every = std::chrono::seconds(1);
  Nanos read_within = std::chrono::seconds(5);
  // Of a block that is found at the start: false where a floor has removed it.
  std::function<bool(const flash::Entry&)> is_wanted = [](const flash::Entry&) { return true; };
  // Blocks that can be read from now on, and that cannot any more. On the thread tarn-object.
  std::function<void(std::vector<block::BlockHeader>)> on_kept = [](auto) {};
  std::function<void(std::vector<block::BlockHeader>)> on_dropped = [](auto) {};
  metrics::Registry* registry = nullptr;  // outlives the store; null: no metrics
  const Clock* clock = &system_clock();
};

// What others may know of the store. Value type.
struct ObjectStoreStats {
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  uint32_t packs = 0;
  uint32_t notes_waiting = 0;  // packs whose removals a restart would not know yet
  bool is_known = false;       // all that lies there is in the index
  bool is_readable = false;
  bool is_writable = false;
  WriteCounts writes;
  ReadCounts reads;
  uint64_t packs_dropped = 0;
};

// The object tier of a server: blocks in packs in a bucket. Down, slow, full or refused it loses
// blocks and says so in metrics and one line of the log; no call of it waits for the network.
// Thread-safe; callbacks come on the thread tarn-object. Life: open (starts the thread, which finds
// what lies there), use, close (joins it), destroy.
class ObjectStore {
 public:
  static constexpr uint64_t kPacksMin = 4;

  // Asks nobody yet. Returns: the store, invalid_argument, unavailable.
  static Result<std::unique_ptr<ObjectStore>> open(ObjectStoreOptions options);
  ~ObjectStore();
  ObjectStore(const ObjectStore&) = delete;
  ObjectStore& operator=(const ObjectStore&) = delete;

  // Where the block lies, or that it is on its way there, for read(); nothing as well while the
  // object store does not answer.
  std::optional<flash::FlashPlace> find(const block::BlockKey& key) const;
  // The same for a get: counts as a hit.
  std::optional<flash::FlashPlace> hit(const block::BlockKey& key);
  const flash::FlashIndex& index() const { return x_index; }

  // Copies the payload. Returns: ok (it may be there later), exists (it is there, or on its way),
  // overloaded, unavailable.
  Status put(const flash::Entry& entry, std::span<const std::byte> payload);
  // As PackReader::read(); what is on its way is copied, and told of, at once.
  Status read(flash::DriveRead read);
  // It is found no more, and a second or so later not after a restart either. False: it was not
  // there.
  bool remove(const block::BlockKey& key);
  // A floor of the config: what was put under an earlier epoch is found no more.
  void remove_all(const TenantId& tenant, const SpaceId& space, Epoch floor);

  // Every block that lies there, pack by pack. Blocks the caller, on the network, until about
  // `deadline`. Stops when `visit` says false. Returns: ok; deadline_exceeded (more lie there); as
  // S3Client.
  Status list(Instant deadline, const std::function<bool(const block::BlockHeader&)>& visit);

  // Whether a put would be taken now, room aside.
  bool takes_blocks() const { return x_writer->takes_blocks(); }
  // What waits in memory for more is uploaded now.
  void flush() { x_writer->seal_old(true); }
  // The same, and blocks until it is there, or will not be. False: the time ran out.
  bool finish(Nanos within) { return x_writer->finish(within); }
  ObjectStoreStats stats() const;

  // What is under way ends. Idempotent.
  void close();

 private:
  struct Metrics;

  explicit ObjectStore(ObjectStoreOptions options);

  std::optional<flash::FlashPlace> find_on_its_way(const block::BlockKey& key) const;
  void tick();
  void keep_room();
  std::optional<uint32_t> choose() const;
  void drop(uint32_t place);
  void forget(uint32_t place, const std::vector<flash::Entry>& entries);
  void write_notes();
  void tell_removed(const block::BlockKey& key, const flash::FlashPlace& place);
  void publish();

  const ObjectStoreOptions x_options;
  flash::FlashIndex x_index;
  PackTable x_packs;
  StoreHealth x_reads;
  StoreHealth x_writes;
  std::unique_ptr<S3Client> x_client;
  std::unique_ptr<PackReader> x_reader;
  std::unique_ptr<PackWriter> x_writer;
  std::unique_ptr<PackCatalog> x_catalog;
  std::unique_ptr<Metrics> x_metrics;
  std::atomic<bool> x_is_closing{false};
  std::atomic<uint64_t> x_dropped{0};
  bool x_is_dropping = false;  // the thread's
  std::atomic<bool> x_is_noting{false};
};

}  // namespace tarn::object
