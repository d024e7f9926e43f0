#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "server/flash/index/flash_index.h"
#include "server/object/pack/pack_format.h"
#include "server/object/s3/s3_client.h"
#include "server/object/store/pack_table.h"
#include "server/object/store/store_health.h"

namespace tarn::object {

struct PackWriterOptions {
  S3Client* client = nullptr;
  PackTable* packs = nullptr;
  flash::FlashIndex* index = nullptr;
  StoreHealth* health = nullptr;
  std::string server;
  uint64_t pack_bytes = 64u << 20;
  uint64_t bytes_per_s = 0;                     // that may be written; 0: any
  Nanos seal_after = std::chrono::seconds(30);  // a pack waits so long for more blocks
  Nanos within = std::chrono::seconds(120);     // of one upload
  const Clock* clock = &system_clock();
  std::function<void(std::vector<block::BlockHeader>)> on_kept;  // can be found from now on
};

// What the writer has done. Value type.
struct WriteCounts {
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  uint64_t refused = 0;  // blocks that were not taken
  uint64_t lost = 0;     // blocks that were taken, and their upload failed
  uint64_t packs = 0;
};

// Gathers blocks into packs and uploads these. One pack is filled while one is uploaded; what comes
// beyond is refused. A block is in the index once its pack is whole in the object store.
// Thread-safe; callbacks come on the thread tarn-object. Life: construct, open_to_blocks(), use,
// destroy once the client is closed. Limits: memory of two packs, or of two blocks where these are
// larger.
class PackWriter {
 public:
  explicit PackWriter(PackWriterOptions options);

  // From now on, blocks are taken.
  void open_to_blocks();

  // Copies the payload. Returns: ok, exists (it is on its way), overloaded (too much is, more than
  // the rate allows, or no room: as `room_bytes`), unavailable (writes pause, or do not go yet).
  Status put(const flash::Entry& entry, std::span<const std::byte> payload, uint64_t room_bytes);
  // Of a block that is on its way.
  std::optional<uint64_t> payload_bytes(const block::BlockKey& key) const;
  // Copies its payload. Returns: its entry, not_found (it is not on its way any more).
  Result<flash::Entry> copy(const block::BlockKey& key, std::span<std::byte> into) const;
  // A block on its way will not be found. False: it is not on its way.
  bool remove(const block::BlockKey& key);
  // The same for what was put under an earlier epoch.
  void remove_all(const TenantId& tenant, const SpaceId& space, Epoch floor);
  // Whether a block would be taken now, room aside.
  bool takes_blocks() const;

  // Uploads the pack that has waited long enough, or any.
  void seal_old(bool even_if_new);
  // Uploads what waits and blocks until it is there, or will not be. False: the time ran out.
  bool finish(Nanos within);
  uint64_t bytes_on_their_way() const;
  WriteCounts counts() const;

 private:
  struct Filling;
  // What a put may take, and the pack that it found full.
  struct Room {
    uint64_t bytes = 0;
    std::optional<S3Put>& full;
  };

  Status add(const flash::Entry& entry, std::span<const std::byte> payload, Room room)
      TARN_REQUIRES(x_mutex);
  bool take_from_bucket(uint64_t bytes) TARN_REQUIRES(x_mutex);
  Status refuse(Status why) TARN_REQUIRES(x_mutex);
  void begin() TARN_REQUIRES(x_mutex);
  S3Put upload() TARN_REQUIRES(x_mutex);
  void send(std::optional<S3Put> put);
  void on_uploaded(const std::shared_ptr<Filling>& done, const Status& outcome);
  std::vector<block::BlockHeader> make_found(const Filling& done, uint32_t place);
  std::vector<std::shared_ptr<Filling>> both() const TARN_REQUIRES(x_mutex);
  struct OnItsWay {
    const PackBuilder* pack = nullptr;
    const flash::Entry* entry = nullptr;
  };
  std::optional<OnItsWay> on_its_way(const block::BlockKey& key) const TARN_REQUIRES(x_mutex);
  bool is_empty() const TARN_REQUIRES(x_mutex);

  const PackWriterOptions x_options;
  mutable Mutex x_mutex;
  CondVar x_uploaded;
  bool x_is_open TARN_GUARDED_BY(x_mutex) = false;
  std::shared_ptr<Filling> x_filling TARN_GUARDED_BY(x_mutex);
  std::shared_ptr<Filling> x_uploading TARN_GUARDED_BY(x_mutex);
  double x_bucket TARN_GUARDED_BY(x_mutex) = 0;
  Instant x_bucket_at TARN_GUARDED_BY(x_mutex){0};
  WriteCounts x_counts TARN_GUARDED_BY(x_mutex);
};

}  // namespace tarn::object
