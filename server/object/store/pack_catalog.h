#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "server/flash/index/flash_index.h"
#include "server/object/pack/pack_format.h"
#include "server/object/s3/s3_client.h"
#include "server/object/store/pack_table.h"
#include "server/object/store/store_health.h"

namespace tarn::object {

struct PackCatalogOptions {
  S3Client* client = nullptr;
  PackTable* packs = nullptr;
  flash::FlashIndex* index = nullptr;
  StoreHealth* health = nullptr;
  std::string server;
  const Clock* clock = &system_clock();
  std::function<bool(const flash::Entry&)> is_wanted;
  std::function<void(std::vector<block::BlockHeader>)> on_kept;
  std::function<void()> on_listed;  // the numbers of all packs are known
};

// Finds what lies in the bucket: lists the server's folder, and reads the end of each pack, and its
// notes. What cannot be read is tried again, what is damaged is left alone. On the thread
// tarn-object, but for is_done() and remove_when_found(). Life: construct, tick() until is_done(),
// destroy once the client is closed. Limits: kAtOnce packs under way, kRemovedMax removals.
class PackCatalog {
 public:
  static constexpr size_t kAtOnce = 8;
  static constexpr size_t kRemovedMax = 65'536;
  using Footer = std::function<void(Result<std::vector<flash::Entry>>)>;

  explicit PackCatalog(PackCatalogOptions options) : x_options(std::move(options)) {}

  // Goes on, where the object store answers.
  void tick();
  bool is_done() const { return x_is_done.load(std::memory_order_acquire); }

  // A block was removed that may lie in a pack which is not read yet. Nothing once all are.
  void remove_when_found(const block::BlockKey& key);

  // What stands at the end of a pack. Returns by `done`: the entries; corrupt; as S3Client.
  void read_entries(uint64_t number, uint64_t pack_bytes, Footer done);

 private:
  struct Found {
    uint64_t pack_bytes = 0;  // 0: no pack of that number
    uint64_t notes_bytes = 0;
  };
  struct Tail;

  void list();
  void on_listed(const std::vector<S3Object>& objects);
  void next();
  void read_notes(uint64_t number, const Found& found);
  void read_pack(uint64_t number, const Found& found, std::vector<uint32_t> gone);
  void on_entries(uint64_t number, const Found& found, std::vector<uint32_t> gone,
                  Result<std::vector<flash::Entry>> entries);
  std::vector<block::BlockHeader> make_found(uint32_t place, const std::vector<uint32_t>& gone,
                                             const std::vector<flash::Entry>& entries);
  void on_failed(uint64_t number, const Found& found, const Status& why);
  void on_tail(const std::shared_ptr<Tail>& tail, const Status& outcome);
  Instant deadline() const;

  const PackCatalogOptions x_options;
  bool x_is_listing = false;
  bool x_is_listed = false;
  std::map<uint64_t, Found> x_to_read;
  size_t x_under_way = 0;
  std::atomic<bool> x_is_done{false};
  Mutex x_mutex;
  std::set<block::BlockKey> x_removed TARN_GUARDED_BY(x_mutex);
};

}  // namespace tarn::object
