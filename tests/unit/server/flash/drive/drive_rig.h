#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "common/block/checksum.h"
#include "server/flash/drive/flash_drive.h"
#include "tests/unit/server/io/fault_device.h"
#include "tests/unit/server/io/io_fixture.h"
#include "tests/unit/until.h"

namespace tarn::flash {

inline block::BlockKey key_of(uint64_t number) {
  block::BlockKey key;
  key.tenant.bytes[0] = 1;
  key.space.bytes[0] = 1;
  key.hash = block::BlockHash::from("block " + std::to_string(number)).value();
  return key;
}

// The bytes of a block follow from its number alone.
inline std::shared_ptr<io::PageBuffer> payload_of(uint64_t number, uint64_t bytes) {
  auto payload = std::make_shared<io::PageBuffer>(bytes);
  std::memset(payload->bytes().data(), static_cast<int>(number % 251), bytes);
  io::fill(payload->bytes().first(std::min<uint64_t>(bytes, 64)), number);
  return payload;
}

inline bool has_bytes_of(uint64_t number, const io::PageBuffer& got, uint64_t bytes) {
  const auto wanted = payload_of(number, bytes);
  return std::ranges::equal(got.bytes().first(bytes), wanted->bytes().first(bytes));
}

// One put or get and what became of it. Told on the drive's thread.
class Call {
 public:
  Call(uint64_t of, uint64_t payload_bytes)
      : number(of), bytes(payload_bytes), memory(std::make_shared<io::PageBuffer>(payload_bytes)) {}

  void tell(Result<Entry> told, bool is_free) {
    const MutexLock lock(x_mutex);
    EXPECT_FALSE(x_outcome.has_value()) << number << " is told twice";
    x_outcome = std::move(told);
    x_is_free = is_free;
  }
  void free() {
    const MutexLock lock(x_mutex);
    EXPECT_TRUE(x_outcome.has_value() && !x_is_free) << number;
    x_is_free = true;
  }
  bool is_told() const {
    const MutexLock lock(x_mutex);
    return x_outcome.has_value();
  }
  bool is_free() const {
    const MutexLock lock(x_mutex);
    return x_is_free;
  }
  // Waits for it.
  Code code() const {
    if (!until([this] { return is_told(); })) return Code::internal;
    const MutexLock lock(x_mutex);
    return x_outcome->status().code();
  }
  Entry entry() const {
    const MutexLock lock(x_mutex);
    return x_outcome->value();
  }

  const uint64_t number;
  const uint64_t bytes;
  const std::shared_ptr<io::PageBuffer> memory;

 private:
  mutable Mutex x_mutex;
  std::optional<Result<Entry>> x_outcome TARN_GUARDED_BY(x_mutex);
  bool x_is_free TARN_GUARDED_BY(x_mutex) = false;
};
using CallPtr = std::shared_ptr<Call>;

// A drive of the tests, opened and opened again over the same disk.
class DriveRig {
 public:
  explicit DriveRig(uint32_t regions)
      : DriveRig(std::make_shared<io::DiskImage>(io::kLabelAreaBytes + regions * kRegionBytes)) {}
  explicit DriveRig(std::shared_ptr<io::DiskImage> disk) : image(std::move(disk)) {}
  ~DriveRig() { close(); }

  Status open() {
    close();
    {
      // What was dropped may be found again, and go again.
      const MutexLock lock(mutex);
      dropped.clear();
    }
    index = std::make_unique<FlashIndex>();
    FlashDriveOptions options;
    options.below = below;
    options.index = index.get();
    options.deadline = deadline;
    options.open = [this]() -> Result<io::OpenDevice> {
      auto made = std::make_unique<io::FaultDevice>(image, system_clock());
      device = made.get();
      if (on_device) on_device(*made);
      io::OpenDevice opened;
      opened.device = std::move(made);
      opened.label.id = {7};
      return opened;
    };
    options.on_dropped = [this](std::vector<block::BlockHeader> headers) {
      if (on_dropped) on_dropped(headers);
      const MutexLock lock(mutex);
      for (const block::BlockHeader& header : headers)
        EXPECT_TRUE(dropped.insert(header.key).second) << "dropped twice";
    };
    auto opened = FlashDrive::open(std::move(options));
    if (!opened) return opened.error();
    drive = std::move(*opened);
    return Status::ok();
  }
  void close() { drive.reset(); }

  CallPtr start_put(uint64_t number, uint64_t bytes, Lifetime lifetime = Lifetime::brief) {
    const auto call = std::make_shared<Call>(number, bytes);
    *call->memory = *payload_of(number, bytes);
    DriveWrite write;
    write.entry.header.key = key_of(number);
    write.entry.header.anchor = key_of(number).hash;
    write.entry.header.payload_bytes = bytes;
    write.entry.header.payload_crc = block::crc32c(0, call->memory->bytes().data(), bytes);
    write.entry.parent = key_of(number + 1).hash;
    write.entry.put_in = {3};
    write.lifetime = lifetime;
    write.payload = std::as_const(*call->memory).bytes().first(bytes);
    write.done = [this, call](const Status& status, bool is_free) {
      if (on_put) on_put(call->number, status);
      call->tell(status.is_ok() ? Result<Entry>(Entry{}) : Result<Entry>(status), is_free);
    };
    write.freed = [call] { call->free(); };
    const Status taken = drive->write(std::move(write));
    if (!taken.is_ok()) call->tell(taken, true);
    return call;
  }
  Code put(uint64_t number, uint64_t bytes, Lifetime lifetime = Lifetime::brief) {
    return start_put(number, bytes, lifetime)->code();
  }
  // Comes again while no region is free.
  Code put_in_time(uint64_t number, uint64_t bytes, Lifetime lifetime = Lifetime::brief) {
    Code code = Code::internal;
    EXPECT_TRUE(until([&] { return (code = put(number, bytes, lifetime)) != Code::overloaded; }));
    return code;
  }

  CallPtr start_get(uint64_t number, const FlashPlace& place) {
    const auto call = std::make_shared<Call>(number, place.bytes);
    DriveRead read;
    read.key = key_of(number);
    read.place = place;
    read.into = call->memory->bytes();
    read.done = [call](Result<Entry> entry, bool is_free) {
      call->tell(std::move(entry), is_free);
    };
    read.freed = [call] { call->free(); };
    const Status taken = drive->read(std::move(read));
    if (!taken.is_ok()) call->tell(taken, true);
    return call;
  }
  // As a lane does it. Precondition: it is in the index.
  CallPtr remove(uint64_t number) {
    const auto call = std::make_shared<Call>(number, kPageBytes);
    DriveRead removal;
    removal.key = key_of(number);
    removal.place = index->find(key_of(number)).value();
    removal.done = [call](Result<Entry> entry, bool is_free) {
      call->tell(std::move(entry), is_free);
    };
    EXPECT_TRUE(index->erase(key_of(number), removal.place));
    const Status taken = drive->remove(std::move(removal));
    if (!taken.is_ok()) call->tell(taken, true);
    return call;
  }

  // Where the index says that it lies; not_found where it says nothing. Never a wrong byte.
  Code get(uint64_t number) {
    const auto place = index->hit(key_of(number));
    if (!place) return Code::not_found;
    const CallPtr call = start_get(number, *place);
    const Code code = call->code();
    if (code != Code::ok) return code;
    EXPECT_TRUE(has_bytes_of(number, *call->memory, call->bytes)) << number;
    EXPECT_EQ(call->entry().header.key, key_of(number));
    EXPECT_EQ(call->entry().parent, key_of(number + 1).hash);
    return code;
  }

  // As published, which is not at once.
  template <typename Condition>
  bool stats_say(const Condition& condition) {
    return until([&] { return condition(drive->stats()); });
  }
  bool was_dropped(uint64_t number) {
    const MutexLock lock(mutex);
    return dropped.contains(key_of(number));
  }

  const std::shared_ptr<io::DiskImage> image;
  Nanos deadline = std::chrono::seconds(5);
  std::function<void(io::FaultDevice&)> on_device;  // before anything is read
  // On the drive's thread.
  std::function<void(uint64_t, const Status&)> on_put;
  std::function<void(const std::vector<block::BlockHeader>&)> on_dropped;
  TierBelow below;  // of drives that are opened from now on
  std::unique_ptr<FlashIndex> index;
  io::FaultDevice* device = nullptr;  // while it is open
  std::unique_ptr<FlashDrive> drive;
  Mutex mutex;
  std::set<block::BlockKey> dropped TARN_GUARDED_BY(mutex);
};

}  // namespace tarn::flash
