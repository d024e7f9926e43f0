#include "server/session/slot_log.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <filesystem>
#include <map>
#include <random>

#include "common/base/fault_point.h"

namespace tarn::session {
namespace {

class SlotLogTest : public testing::Test {
 protected:
  void SetUp() override {
    const bool has_shm = std::filesystem::is_directory("/dev/shm");
    x_folder = (std::filesystem::path(has_shm ? "/dev/shm" : testing::TempDir()) /
                ("slot_log_" + std::to_string(::getpid())))
                   .string();
    std::filesystem::remove_all(x_folder);
    reopen();
  }
  void TearDown() override {
    fault::disarm_all();
    x_log.reset();
    std::filesystem::remove_all(x_folder);
  }

  void reopen() {
    x_log.reset();
    auto opened = SlotLog::open(x_folder);
    ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
    x_log = std::move(*opened);
  }

  // Writes what no SlotLog would.
  void write_raw(const std::string& key, const std::string& value) {
    x_log.reset();
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, x_folder, &db).ok());
    ASSERT_TRUE(db->Put({}, key, value).ok());
    delete db;
  }

  std::string x_folder;
  std::unique_ptr<SlotLog> x_log;
};

v1::LogEntry entry_at(uint64_t index, uint64_t epoch, int64_t stamp = 0) {
  v1::LogEntry entry;
  entry.set_index(index);
  entry.set_epoch(epoch);
  entry.set_unix_ms(stamp);
  return entry;
}

// What one slot should hold.
struct ModelSlot {
  LogHead head;
  std::map<uint64_t, v1::LogEntry> entries;
  uint64_t snapshot_index = 0;
};

class SlotLogModel : public SlotLogTest, public testing::WithParamInterface<uint32_t> {
 protected:
  uint64_t pick(uint64_t below) { return x_random() % below; }

  // A change of any kind that a member makes: appends, replaced ends, snapshots, promises.
  LogChange random_change(ModelSlot& slot) {
    LogChange change;
    slot.head.promised_epoch += pick(2);
    const uint64_t last = slot.head.last_index;
    switch (pick(5)) {
      case 0:  // a snapshot of all but a few
        if (last > slot.head.first_index + 2) {
          slot.snapshot_index = last - pick(3);
          change.snapshot.emplace();
          change.snapshot->set_index(slot.snapshot_index);
          change.erase_from = slot.head.first_index;
          change.erase_to = slot.snapshot_index + 1;
          slot.head.first_index = slot.snapshot_index + 1;
        }
        break;
      case 1:  // the end is another one
        if (last > slot.head.first_index) {
          change.erase_from = last;
          change.erase_to = last + 1;
          change.entries.push_back(entry_at(last, slot.head.promised_epoch, x_stamp++));
        }
        break;
      case 2:
        slot.head.complete_learners.assign(pick(3), 7);
        break;
      default:
        for (uint64_t i = 1 + pick(4); i > 0; --i) {
          change.entries.push_back(
              entry_at(++slot.head.last_index, slot.head.promised_epoch, x_stamp++));
        }
        slot.head.last_epoch = slot.head.promised_epoch;
    }
    slot.entries.erase(slot.entries.lower_bound(change.erase_from),
                       slot.entries.lower_bound(change.erase_to));
    for (const auto& entry : change.entries)
      slot.entries[entry.index()] = entry;
    change.head = slot.head;
    return change;
  }

  void check(SlotId id, const ModelSlot& slot) {
    const auto head = x_log->head(id);
    ASSERT_TRUE(head.has_value());
    EXPECT_EQ(head->promised_epoch, slot.head.promised_epoch);
    EXPECT_EQ(head->first_index, slot.head.first_index);
    EXPECT_EQ(head->last_index, slot.head.last_index);
    EXPECT_EQ(head->last_epoch, slot.head.last_epoch);
    EXPECT_EQ(head->complete_learners, slot.head.complete_learners);
    const auto entries = x_log->read(id, 0, SIZE_MAX);
    ASSERT_TRUE(entries.has_value());
    ASSERT_EQ(entries->size(), slot.entries.size());
    size_t i = 0;
    for (const auto& [index, entry] : slot.entries) {
      EXPECT_EQ((*entries)[i].index(), index);
      EXPECT_EQ((*entries)[i].unix_ms(), entry.unix_ms());
      EXPECT_EQ((*entries)[i++].epoch(), entry.epoch());
    }
    EXPECT_EQ(x_log->snapshot(id)->index(), slot.snapshot_index);
  }

  std::mt19937_64 x_random{GetParam()};
  int64_t x_stamp = 1;
};

// Neighbouring slots, so that a range that is too wide would show; a refused write must leave no
// trace, before and after the restart that it takes.
TEST_P(SlotLogModel, HoldsWhatWasCommittedAndNothingOfWhatWasRefused) {
  std::map<uint32_t, ModelSlot> slots;
  for (const uint32_t id : {0u, 1u, 255u, 256u, 257u, 1023u})
    slots[id] = {};
  for (int step = 0; step < 250; ++step) {
    const auto some = std::next(slots.begin(), static_cast<long>(pick(slots.size())));
    ModelSlot next = some->second;
    const LogChange change = random_change(next);
    const bool is_refused = pick(25) == 0;
    if (is_refused) fault::arm("session.log_fsync", {});
    const Status status = x_log->commit({some->first}, change);
    ASSERT_EQ(status.code(), is_refused ? Code::unavailable : Code::ok) << status.to_string();
    if (!is_refused) some->second = next;
    if (is_refused) {
      EXPECT_EQ(x_log->commit({some->first}, {}).code(), Code::unavailable) << "it is suspect now";
      check({some->first}, some->second);
      reopen();
    } else if (pick(30) == 0) {
      reopen();
    }
    check({some->first}, some->second);
  }
  reopen();
  for (const auto& [id, slot] : slots)
    check({id}, slot);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SlotLogModel, testing::Range(1u, 3u));

TEST_F(SlotLogTest, ErasingASlotKeepsItsPromiseAndItsNeighbours) {
  for (const uint32_t id : {4u, 5u, 6u})
    ASSERT_TRUE(
        x_log->commit({id}, {.head = {1, 1, 1, 1, {}}, .entries = {entry_at(1, 1)}}).is_ok());
  ASSERT_TRUE(x_log->erase({5}, {9, 1, 0, 0, {}}).is_ok());
  EXPECT_EQ(x_log->head({5})->promised_epoch, 9u);
  EXPECT_TRUE(x_log->read({5}, 0, 10)->empty());
  EXPECT_EQ(x_log->read({4}, 0, 10)->size(), 1u);
  EXPECT_EQ(x_log->read({6}, 0, 10)->size(), 1u);
}

TEST_F(SlotLogTest, AnIncarnationLastsAsLongAsItsFolder) {
  const Incarnation first = x_log->incarnation();
  EXPECT_NE(first.value, 0u);
  reopen();
  EXPECT_EQ(x_log->incarnation(), first);
  x_log.reset();
  std::filesystem::remove_all(x_folder);
  reopen();
  EXPECT_NE(x_log->incarnation(), first) << "a wiped server begins a new life";
}

TEST_F(SlotLogTest, AFolderIsForOneServerAtATime) {
  const auto second = SlotLog::open(x_folder);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code(), Code::internal);
  EXPECT_NE(second.error().message().find("lock"), std::string::npos) << second.error().message();
}

TEST_F(SlotLogTest, DamageIsCorruptAndNamesTheSlot) {
  const std::string slot_3("\0\3", 2);
  struct {
    std::string key;
    std::string value;
  } const damages[] = {{"h" + slot_3, "short"},
                       {"h" + slot_3, std::string(41, 'x')},
                       // Five numbers, the last of which promises learners that are not there.
                       {"h" + slot_3, std::string(32, '\0') + std::string("\5\0\0\0\0\0\0\0", 8)},
                       {"e" + slot_3 + std::string(8, '\0'), "\xff\xff\xff"},
                       {"s" + slot_3, "\xff\xff\xff"}};
  for (const auto& damage : damages) {
    write_raw(damage.key, damage.value);
    reopen();
    Status status;
    switch (damage.key[0]) {
      case 'h':
        status = x_log->head({3}).status();
        break;
      case 'e':
        status = x_log->read({3}, 0, 10).status();
        break;
      default:
        status = x_log->snapshot({3}).status();
    }
    EXPECT_EQ(status.code(), Code::corrupt) << damage.key[0];
    EXPECT_NE(status.message().find("slot 3"), std::string::npos) << status.message();
    EXPECT_TRUE(x_log->head({4}).has_value()) << "other slots go on";
  }
}

TEST_F(SlotLogTest, AMalformedIncarnationIsCorrupt) {
  for (const char* bad : {"", "0", "abc", "-1"}) {
    write_raw("i", bad);
    const auto opened = SlotLog::open(x_folder);
    ASSERT_FALSE(opened.has_value()) << bad;
    EXPECT_EQ(opened.error().code(), Code::corrupt) << bad;
  }
}

}  // namespace
}  // namespace tarn::session
