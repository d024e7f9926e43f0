#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "server/flash/drive/flash_drive.h"
#include "server/flash/index/flash_index.h"
#include "server/object/s3/s3_client.h"
#include "server/object/store/pack_table.h"
#include "server/object/store/store_health.h"

namespace tarn::object {

struct PackReaderOptions {
  S3Client* client = nullptr;
  PackTable* packs = nullptr;
  flash::FlashIndex* index = nullptr;
  StoreHealth* health = nullptr;
  std::string server;
  Nanos within = std::chrono::seconds(5);  // of one request
  const Clock* clock = &system_clock();
  std::function<void(uint32_t place)> on_lost_pack;  // it is not there any more
};

// What the reader has done. Value type.
struct ReadCounts {
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  uint64_t failures = 0;
  uint64_t corrupt = 0;
  uint64_t requests = 0;
};

// Gets blocks out of packs. Blocks that lie one behind the other and are wanted at the same time
// come by one request. Thread-safe; callbacks come on the thread tarn-object. Life: construct,
// read(), destroy once the client is closed. Limits: kWaitingMax reads, kRunBytesMax of one
// request.
class PackReader {
 public:
  static constexpr size_t kWaitingMax = 1024;
  static constexpr uint64_t kRunBytesMax = 16u << 20;

  explicit PackReader(PackReaderOptions options) : x_options(std::move(options)) {}

  // As FlashDrive::read(), and the memory is always free when `done` is called. Returns: ok, and
  // the callback follows; overloaded, unavailable (the object store is down).
  Status read(flash::DriveRead read);

  ReadCounts counts() const;

 private:
  struct Run;
  using Reads = std::deque<flash::DriveRead>;

  void begin_all();
  std::shared_ptr<Run> take_run(Reads& reads);
  void begin(const std::shared_ptr<Run>& run);
  void on_bytes(Run& run, const Status& outcome);
  Result<flash::Entry> check(const Run& run, size_t which);

  const PackReaderOptions x_options;
  mutable Mutex x_mutex;
  Reads x_waiting TARN_GUARDED_BY(x_mutex);
  ReadCounts x_counts TARN_GUARDED_BY(x_mutex);
};

}  // namespace tarn::object
