#include "server/session/slot_log.h"

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <charconv>
#include <random>

#include "common/base/big_endian.h"
#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/little_endian.h"
#include "common/base/log.h"

namespace tarn::session {
namespace {

// Keys: 'h' slot, 's' slot, 'e' slot index; numbers big-endian, so that a slot's entries lie
// together in order.
std::string key_of(char kind, SlotId slot) {
  std::string key(1, kind);
  append_be<uint16_t>(key, static_cast<uint16_t>(slot.value));
  return key;
}

std::string entry_key(SlotId slot, uint64_t index) {
  std::string key = key_of('e', slot);
  append_be<uint64_t>(key, index);
  return key;
}

std::string head_bytes(const LogHead& head) {
  std::string bytes;
  const auto put = [&bytes](uint64_t number) { append_le(bytes, number); };
  put(head.promised_epoch);
  put(head.first_index);
  put(head.last_index);
  put(head.last_epoch);
  put(head.complete_learners.size());
  for (const uint32_t learner : head.complete_learners)
    put(learner);
  return bytes;
}

std::optional<LogHead> parse_head(const std::string& bytes) {
  constexpr size_t kFixed = 5;
  if (bytes.size() % 8 != 0 || bytes.size() < kFixed * 8) return std::nullopt;
  std::vector<uint64_t> numbers(bytes.size() / 8);
  for (size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = load_le<uint64_t>(bytes.data() + i * 8);
  if (numbers[4] != numbers.size() - kFixed) return std::nullopt;
  LogHead head{numbers[0], numbers[1], numbers[2], numbers[3], {}};
  for (size_t i = kFixed; i < numbers.size(); ++i) {
    head.complete_learners.push_back(static_cast<uint32_t>(numbers[i]));
  }
  return head;
}

constexpr char kIncarnationKey[] = "i";

uint64_t draw_incarnation() {
  std::random_device device;
  const uint64_t high = device();
  return (high << 32 | device()) | 1;  // never 0, which means none
}

Status from_rocksdb(const rocksdb::Status& status, const char* what) {
  if (status.ok()) return Status::ok();
  const std::string message = std::string("session log: ") + what + ": " + status.ToString();
  return status.IsCorruption() ? corrupt(message) : internal_error(message);
}

// A change that failed may be on the disk, and another server may take its place: to the caller the
// outcome is open.
Status as_open(const Status& status) {
  return status.is_ok() ? status : unavailable(status.message());
}

}  // namespace

struct SlotLog::Impl {
  std::unique_ptr<rocksdb::DB> db;
  SlotLogHooks hooks;
  Incarnation incarnation;
  std::atomic<bool> is_suspect{false};

  Status load_incarnation() {
    std::string text;
    const auto found = db->Get({}, kIncarnationKey, &text);
    if (!found.ok() && !found.IsNotFound()) return from_rocksdb(found, "read incarnation");
    if (found.ok()) {
      const auto parsed =
          std::from_chars(text.data(), text.data() + text.size(), incarnation.value);
      const bool is_sound = parsed.ec == std::errc() && incarnation.value != 0;
      if (!is_sound) return corrupt("session log: malformed incarnation");
    } else {
      incarnation.value = draw_incarnation();
    }
    // Also where it is known: a disk that takes no write must not serve.
    rocksdb::WriteBatch batch;
    batch.Put(kIncarnationKey, std::to_string(incarnation.value));
    return write(&batch);
  }

  Status write(rocksdb::WriteBatch* batch) {
    if (is_suspect.load()) return unavailable("session log: an earlier fsync failed");
    rocksdb::WriteOptions options;
    options.sync = true;
    const Instant began = system_clock().now();
    const Status status = TARN_FAULT_POINT("session.log_fsync")
                              ? internal_error("session log: fsync: fault point")
                              : from_rocksdb(db->Write(options, batch), "write");
    if (hooks.on_fsync) hooks.on_fsync(system_clock().now() - began);
    if (status.is_ok() || is_suspect.exchange(true)) return as_open(status);
    log::error("{}: the session log takes no more writes", status.to_string());
    if (hooks.on_suspect) hooks.on_suspect(status);
    return as_open(status);
  }
};

SlotLog::SlotLog(std::unique_ptr<Impl> impl) : x_impl(std::move(impl)) {}

SlotLog::~SlotLog() = default;

Result<std::unique_ptr<SlotLog>> SlotLog::open(const std::string& folder, SlotLogHooks hooks) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.keep_log_file_num = 2;
  options.max_background_jobs = 2;
  options.write_buffer_size = 16 << 20;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  rocksdb::DB* db = nullptr;
  TARN_RETURN_IF_ERROR(from_rocksdb(rocksdb::DB::Open(options, folder, &db), "open"));
  TARN_CHECK(db != nullptr);
  auto impl = std::make_unique<Impl>();
  impl->db.reset(db);
  impl->hooks = std::move(hooks);
  TARN_RETURN_IF_ERROR(impl->load_incarnation());
  return std::unique_ptr<SlotLog>(new SlotLog(std::move(impl)));
}

Incarnation SlotLog::incarnation() const {
  return x_impl->incarnation;
}

Result<LogHead> SlotLog::head(SlotId slot) const {
  std::string bytes;
  const auto status = x_impl->db->Get({}, key_of('h', slot), &bytes);
  if (status.IsNotFound()) return LogHead{};
  TARN_RETURN_IF_ERROR(from_rocksdb(status, "read head"));
  const auto head = parse_head(bytes);
  if (!head) return corrupt("session log: malformed head of slot " + std::to_string(slot.value));
  return *head;
}

Result<std::vector<v1::LogEntry>> SlotLog::read(SlotId slot, uint64_t from, size_t limit) const {
  std::vector<v1::LogEntry> entries;
  const std::string prefix = key_of('e', slot);
  const std::unique_ptr<rocksdb::Iterator> it(x_impl->db->NewIterator({}));
  for (it->Seek(entry_key(slot, from)); it->Valid() && entries.size() < limit; it->Next()) {
    if (!it->key().starts_with(prefix)) break;
    v1::LogEntry entry;
    if (!entry.ParseFromArray(it->value().data(), static_cast<int>(it->value().size()))) {
      return corrupt("session log: malformed entry in slot " + std::to_string(slot.value));
    }
    entries.push_back(std::move(entry));
  }
  TARN_RETURN_IF_ERROR(from_rocksdb(it->status(), "read entries"));
  return entries;
}

Result<v1::SlotSnapshot> SlotLog::snapshot(SlotId slot) const {
  std::string bytes;
  v1::SlotSnapshot snapshot;
  const auto status = x_impl->db->Get({}, key_of('s', slot), &bytes);
  if (status.IsNotFound()) return snapshot;
  TARN_RETURN_IF_ERROR(from_rocksdb(status, "read snapshot"));
  if (!snapshot.ParseFromString(bytes)) {
    return corrupt("session log: malformed snapshot of slot " + std::to_string(slot.value));
  }
  return snapshot;
}

Status SlotLog::commit(SlotId slot, const LogChange& change) {
  TARN_CHECK(slot.value < 65'536);
  rocksdb::WriteBatch batch;
  if (change.erase_to > change.erase_from) {
    batch.DeleteRange(entry_key(slot, change.erase_from), entry_key(slot, change.erase_to));
  }
  if (change.snapshot) batch.Put(key_of('s', slot), change.snapshot->SerializeAsString());
  for (const auto& entry : change.entries) {
    batch.Put(entry_key(slot, entry.index()), entry.SerializeAsString());
  }
  batch.Put(key_of('h', slot), head_bytes(change.head));
  return x_impl->write(&batch);
}

Status SlotLog::erase(SlotId slot, const LogHead& head) {
  rocksdb::WriteBatch batch;
  batch.DeleteRange(entry_key(slot, 0), entry_key(slot, UINT64_MAX));
  batch.Delete(key_of('s', slot));
  batch.Put(key_of('h', slot), head_bytes(head));
  return x_impl->write(&batch);
}

}  // namespace tarn::session
