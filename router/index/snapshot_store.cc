#include "router/index/snapshot_store.h"

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <filesystem>
#include <utility>

#include "common/base/big_endian.h"
#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/ring/config.h"
#include "router/index/row_table.h"

namespace tarn::index {
namespace {

constexpr char kMetaFamily[] = "meta";
constexpr char kFormatKey[] = "format";
constexpr char kFormat[] = "2";  // 1: other fingerprints
constexpr char kSeedKey[] = "seed";
constexpr char kMarksKey[] = "marks";
constexpr size_t kMarkNumbers = 3;
constexpr size_t kExtentsPerCall = 1024;

std::string big_endian(uint64_t number) {
  std::string bytes;
  append_be<uint64_t>(bytes, number);
  return bytes;
}

uint64_t number_at(std::string_view bytes, size_t i) {
  return load_be(bytes.substr(i * 8, 8));
}

std::string mark_bytes(std::span<const StreamMark> marks) {
  std::string bytes;
  for (const StreamMark& mark : marks) {
    bytes += big_endian(mark.server.value);
    bytes += big_endian(mark.incarnation.value);
    bytes += big_endian(mark.sequence);
  }
  return bytes;
}

Status from_rocksdb(const rocksdb::Status& status, const char* what) {
  if (status.ok()) return Status::ok();
  const std::string message = std::string("index snapshot: ") + what + ": " + status.ToString();
  return status.IsCorruption() ? corrupt(message) : internal_error(message);
}

// RocksDB has no code for it.
bool is_locked(const rocksdb::Status& status) {
  return status.IsIOError() && status.ToString().find("lock") != std::string::npos;
}

}  // namespace

struct SnapshotStore::Impl {
  std::unique_ptr<rocksdb::DB> db;
  rocksdb::ColumnFamilyHandle* extents = nullptr;
  rocksdb::ColumnFamilyHandle* meta = nullptr;
  uint64_t seed = 0;

  ~Impl() {
    for (auto* family : {extents, meta}) {
      if (family != nullptr) (void)db->DestroyColumnFamilyHandle(family);
    }
  }

  Status open(const std::string& folder) {
    rocksdb::Options options;
    options.create_if_missing = true;
    options.create_missing_column_families = true;
    options.keep_log_file_num = 2;
    options.max_open_files = 256;
    const std::vector<rocksdb::ColumnFamilyDescriptor> families = {
        {rocksdb::kDefaultColumnFamilyName, options}, {kMetaFamily, options}};
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* opened = nullptr;
    const rocksdb::Status status = rocksdb::DB::Open(options, folder, families, &handles, &opened);
    if (is_locked(status)) {
      return unavailable("index snapshot: another process uses " + folder +
                         ": give each router a state folder of its own");
    }
    TARN_RETURN_IF_ERROR(from_rocksdb(status, "open"));
    TARN_CHECK(handles.size() == families.size());
    db.reset(opened);
    extents = handles[0];
    meta = handles[1];
    return read_head();
  }

  Status read_head() {
    std::string format;
    const rocksdb::Status found = db->Get({}, meta, kFormatKey, &format);
    if (found.IsNotFound()) return write_head();
    TARN_RETURN_IF_ERROR(from_rocksdb(found, "read"));
    if (format != kFormat) return corrupt("index snapshot: another format: " + format);
    std::string bytes;
    TARN_RETURN_IF_ERROR(from_rocksdb(db->Get({}, meta, kSeedKey, &bytes), "read"));
    if (bytes.size() != 8) return corrupt("index snapshot: seed");
    seed = number_at(bytes, 0);
    return Status::ok();
  }

  Status write_head() {
    seed = draw_seed();
    rocksdb::WriteBatch batch;
    (void)batch.Put(meta, kFormatKey, kFormat);
    (void)batch.Put(meta, kSeedKey, big_endian(seed));
    return write(&batch);
  }

  // Without an fsync: what a machine's crash takes away is asked of the servers again, and what it
  // leaves is a prefix of the writes.
  Status write(rocksdb::WriteBatch* batch) {
    if (TARN_FAULT_POINT("index.snapshot_write")) {
      return internal_error("index snapshot: write: fault point");
    }
    return from_rocksdb(db->Write({}, batch), "write");
  }

  void erase_range(uint32_t range, rocksdb::WriteBatch& batch) const {
    constexpr int kShift = 64 - kRangeBits;
    const std::string begin = big_endian(uint64_t{range} << kShift);
    const bool is_last = range + 1 == kRanges;
    // No key is longer than 16 bytes.
    const std::string end =
        is_last ? std::string(17, '\xff') : big_endian(uint64_t{range + 1} << kShift);
    (void)batch.DeleteRange(extents, begin, end);
  }
};

SnapshotStore::SnapshotStore(std::unique_ptr<Impl> impl) : x_impl(std::move(impl)) {}
SnapshotStore::~SnapshotStore() = default;

Result<std::unique_ptr<SnapshotStore>> SnapshotStore::open(const std::string& folder) {
  auto impl = std::make_unique<Impl>();
  Status status = impl->open(folder);
  if (status.code() == Code::unavailable) return status;
  if (!status.is_ok()) {
    log::warn("{}: the snapshot is thrown away", status.to_string());
    impl = std::make_unique<Impl>();
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
    status = impl->open(folder);
  }
  if (!status.is_ok()) return internal_error(status.message());
  return std::unique_ptr<SnapshotStore>(new SnapshotStore(std::move(impl)));
}

uint64_t SnapshotStore::seed() const {
  return x_impl->seed;
}

Result<std::vector<StreamMark>> SnapshotStore::marks() const {
  std::string bytes;
  const rocksdb::Status found = x_impl->db->Get({}, x_impl->meta, kMarksKey, &bytes);
  std::vector<StreamMark> marks;
  if (found.IsNotFound()) return marks;
  TARN_RETURN_IF_ERROR(from_rocksdb(found, "read marks"));
  constexpr size_t kBytes = kMarkNumbers * 8;
  if (bytes.size() % kBytes != 0 || bytes.size() > kBytes * ring::kMembersMax) {
    return corrupt("index snapshot: marks");
  }
  for (size_t i = 0; i < bytes.size() / 8; i += kMarkNumbers) {
    StreamMark mark;
    mark.server = {static_cast<uint32_t>(number_at(bytes, i))};
    mark.incarnation = {number_at(bytes, i + 1)};
    mark.sequence = number_at(bytes, i + 2);
    marks.push_back(mark);
  }
  return marks;
}

Status SnapshotStore::load(const std::function<void(std::span<const ExtentImage>)>& take) const {
  const std::unique_ptr<rocksdb::Iterator> rows(x_impl->db->NewIterator({}, x_impl->extents));
  std::vector<ExtentImage> some;
  for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
    TARN_ASSIGN_OR_RETURN(ExtentImage extent,
                          parse_extent(rows->key().ToStringView(), rows->value().ToStringView()));
    some.push_back(std::move(extent));
    if (some.size() < kExtentsPerCall) continue;
    take(some);
    some.clear();
  }
  TARN_RETURN_IF_ERROR(from_rocksdb(rows->status(), "read extents"));
  if (!some.empty()) take(some);
  return Status::ok();
}

Status SnapshotStore::wipe() {
  rocksdb::WriteBatch batch;
  (void)batch.Delete(x_impl->meta, kMarksKey);
  for (uint32_t range = 0; range < kRanges; ++range)
    x_impl->erase_range(range, batch);
  return x_impl->write(&batch);
}

Status SnapshotStore::write_range(uint32_t range, std::span<const ExtentImage> extents,
                                  std::span<const StreamMark> marks) {
  TARN_CHECK(range < kRanges);
  rocksdb::WriteBatch batch;
  x_impl->erase_range(range, batch);
  for (const ExtentImage& extent : extents) {
    TARN_DCHECK(range_of(extent.position) == range);
    (void)batch.Put(x_impl->extents, key_bytes(extent), value_bytes(extent));
  }
  (void)batch.Put(x_impl->meta, kMarksKey, mark_bytes(marks));
  return x_impl->write(&batch);
}

Status SnapshotStore::write_marks(std::span<const StreamMark> marks) {
  rocksdb::WriteBatch batch;
  (void)batch.Put(x_impl->meta, kMarksKey, mark_bytes(marks));
  return x_impl->write(&batch);
}

}  // namespace tarn::index
