#include "server/tiers/tiered_store.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace tarn::tiers {
namespace {

// Deadlines are looked at this often.
constexpr Nanos kDeadlinesEvery = std::chrono::milliseconds(2);
// Reads that wait for room in dram look for it this often, and give up after so long.
constexpr Nanos kRoomEvery = std::chrono::milliseconds(1);
constexpr Nanos kRoomWithin = std::chrono::milliseconds(500);
// A drive that ends no write for so long has stopped.
constexpr Nanos kProgressWithin = std::chrono::seconds(1);

template <typename Done>
struct Waiter {
  Instant deadline = kNever;
  Done done;
};

// Takes out those whose time has come.
template <typename Done>
std::vector<Done> take_late(std::vector<Waiter<Done>>& waiters, Instant now) {
  std::vector<Done> late;
  std::erase_if(waiters, [&](Waiter<Done>& waiter) {
    if (waiter.deadline > now) return false;
    late.push_back(std::move(waiter.done));
    return true;
  });
  return late;
}

Status too_late() {
  return deadline_exceeded("what lies below dram has not come in time");
}

Status gone_meanwhile() {
  return not_found("the block was removed meanwhile");
}

}  // namespace

// A block on its way from a drive, or from the object store, into dram.
struct TieredStore::Fetch {
  block::BlockKey key;
  flash::FlashPlace place;
  bool is_object = false;
  Instant waits_until{0};  // for room in dram
  store::Slot slot;
  std::vector<Waiter<store::ReadDone>> waiters;
  bool is_unwanted = false;
};

// A block on its way to a drive. Its pin keeps the bytes, also when dram has let it go.
struct TieredStore::Write {
  store::Pin pin;
  std::vector<Waiter<store::PersistDone>> waiters;
  bool is_leaving = false;  // dram has let it go
  bool is_unwanted = false;

  const block::BlockHeader& header() const { return pin.header(); }
};

TieredStore::TieredStore(TieredStoreOptions options)
    : x_options(std::move(options)),
      x_dram(*x_options.dram),
      x_exchange(x_dram),
      x_drives(x_options.drives),
      x_object(x_options.object),
      x_epoch(x_options.floors_known) {}

// Answers that are still to come find nobody: the lane's inbox is run no more.
TieredStore::~TieredStore() {
  for (const auto& [key, fetch] : x_fetches)
    fetch->slot.abandon();
  for (const auto& [key, write] : x_writes)
    write->pin.release();
  for (const auto& fetch : x_late_fetches)
    fetch->slot.abandon();
  for (const auto& write : x_late_writes)
    write->pin.release();
}

const TieredStore::Write* TieredStore::leaving(const block::BlockKey& key) const {
  const auto found = x_writes.find(key);
  if (found == x_writes.end()) return nullptr;
  const Write& write = *found->second;
  return write.is_leaving && !write.is_unwanted ? &write : nullptr;
}

bool TieredStore::is_on_flash(const block::BlockKey& key) const {
  if (x_drives == nullptr) return false;
  const auto found = x_writes.find(key);
  if (found != x_writes.end()) return !found->second->is_unwanted;
  return x_drives->index().find(key).has_value();
}

bool TieredStore::is_below(const block::BlockKey& key) const {
  return is_on_flash(key) || (x_object != nullptr && x_object->find(key).has_value());
}

std::optional<flash::FlashPlace> TieredStore::place_of(const block::BlockKey& key) const {
  if (is_on_flash(key)) return x_drives->index().find(key);
  return x_object == nullptr ? std::nullopt : x_object->find(key);
}

const block::BlockHeader* TieredStore::find(const block::BlockKey& key) const {
  const block::BlockHeader* const header = x_dram.find(key);
  if (header != nullptr || !has_below()) return header;
  return find_below(key, x_found);
}

const block::BlockHeader* TieredStore::find_below(const block::BlockKey& key,
                                                  block::BlockHeader& room) const {
  if (const Write* write = leaving(key)) return &write->header();
  const auto place = place_of(key);
  if (!place) return nullptr;
  room.key = key;
  room.payload_bytes = place->bytes;
  return &room;
}

void TieredStore::find_all(std::span<const block::BlockKey> keys,
                           std::span<const block::BlockHeader*> found) const {
  x_dram.find_all(keys, found);
  if (!has_below()) return;
  x_found_all.resize(keys.size());
  for (size_t i = 0; i < keys.size(); ++i)
    if (found[i] == nullptr) found[i] = find_below(keys[i], x_found_all[i]);
}

// --- from below

void TieredStore::read(const block::BlockKey& key, Instant deadline, store::ReadDone done) {
  if (!has_below() || x_dram.find(key) != nullptr) return x_dram.read(key, std::move(done));
  if (const Write* write = leaving(key)) {
    // Its memory is its own until the drive has done with it.
    auto pin = x_dram.pin_at(write->pin.bytes().data());
    TARN_CHECK(pin.has_value());
    return done(std::move(*pin));
  }
  auto fetched = fetch(key);
  if (!fetched) return done(fetched.error());
  (*fetched)->waiters.push_back({deadline, std::move(done)});
}

void TieredStore::read_ahead(const block::BlockKey& key) {
  if (!has_below() || x_dram.find(key) != nullptr || leaving(key) != nullptr) return;
  (void)fetch(key);
}

// The one that is under way, or a new one.
Result<std::shared_ptr<TieredStore::Fetch>> TieredStore::fetch(const block::BlockKey& key) {
  const auto found = x_fetches.find(key);
  if (found != x_fetches.end() && !found->second->is_unwanted) return found->second;
  if (found != x_fetches.end() || x_writes.contains(key)) return gone_meanwhile();
  auto place = x_drives == nullptr ? std::nullopt : x_drives->index().hit(key);
  const bool is_object = !place && x_object != nullptr;
  if (is_object) place = x_object->hit(key);
  if (!place) return not_found("no such block");
  if (x_fetches.size() >= kFetchesMax)
    return overloaded("too many reads from below dram are under way");
  const auto made = std::make_shared<Fetch>();
  made->key = key;
  made->is_object = is_object;
  made->place = *place;
  const Status begun = begin(made);
  // What makes room is on its way: slabs are being made ready, blocks are on their way to a drive.
  const bool waits = begun.code() == Code::overloaded;
  if (!begun.is_ok() && !waits) return begun;
  x_fetches.emplace(key, made);
  made->waits_until = x_now + kRoomWithin;
  if (waits) x_waiting.push_back(made);
  return made;
}

Status TieredStore::begin(const std::shared_ptr<Fetch>& fetch) {
  TARN_ASSIGN_OR_RETURN(fetch->slot, x_exchange.reserve(fetch->key, fetch->place.bytes));
  flash::DriveRead wanted;
  wanted.key = fetch->key;
  wanted.place = fetch->place;
  wanted.into = {fetch->slot.bytes().data(), round_up(fetch->place.bytes, flash::kPageBytes)};
  const auto home = x_options.home;
  wanted.done = [this, home, fetch](Result<flash::Entry> entry, bool is_free) {
    home->post_answer([this, fetch, entry = std::move(entry), is_free]() mutable {
      on_fetched(fetch, std::move(entry), is_free);
    });
  };
  wanted.freed = [this, home, fetch] {
    home->post_answer([this, fetch] {
      fetch->slot.abandon();
      std::erase(x_late_fetches, fetch);
      --x_under_way;
    });
  };
  Status taken =
      fetch->is_object ? x_object->read(std::move(wanted)) : x_drives->read(std::move(wanted));
  if (fetch->is_object && taken.code() == Code::unavailable) taken = not_found(taken.message());
  if (taken.is_ok()) {
    ++x_under_way;
  } else {
    fetch->slot.abandon();
  }
  return taken;
}

// In the order in which they came. One that nobody waits for any more goes.
size_t TieredStore::begin_waiting() {
  if (x_waiting.empty() || x_now < x_room_due) return 0;
  x_room_due = x_now + kRoomEvery;
  size_t done = 0;
  while (!x_waiting.empty()) {
    const auto next = x_waiting.front();
    const bool is_wanted = !next->waiters.empty() && !next->is_unwanted;
    const auto place = next->is_object ? std::nullopt : x_drives->index().find(next->key);
    if (place) next->place = *place;  // it may have been moved since
    const Status begun = is_wanted ? begin(next) : gone_meanwhile();
    if (begun.code() == Code::overloaded && x_now < next->waits_until) break;
    x_waiting.pop_front();
    ++done;
    if (begun.is_ok()) continue;
    x_fetches.erase(next->key);
    for (auto& waiter : std::exchange(next->waiters, {}))
      waiter.done(begun);
  }
  return done;
}

void TieredStore::on_fetched(const std::shared_ptr<Fetch>& fetch, Result<flash::Entry> entry,
                             bool is_free) {
  if (is_free) --x_under_way;
  if (entry.status().code() == Code::not_found && is_free && follow(fetch)) return;
  x_fetches.erase(fetch->key);
  if (fetch->is_unwanted) entry = gone_meanwhile();
  if (entry && is_free) return bring_in(*fetch, *entry);
  if (fetch->is_object) {
    entry = not_found("the object store does not give it: " + entry.status().message());
  } else {
    ++x_counters.flash_misses;
  }
  if (is_free) {
    fetch->slot.abandon();
  } else {
    x_late_fetches.push_back(fetch);
  }
  for (auto& waiter : std::exchange(fetch->waiters, {}))
    waiter.done(entry.status());
}

// The block was moved on its drive between the look-up and the read.
bool TieredStore::follow(const std::shared_ptr<Fetch>& fetch) {
  if (fetch->is_unwanted || fetch->is_object) return false;
  const auto place = x_drives->index().find(fetch->key);
  if (!place || *place == fetch->place) return false;
  fetch->slot.abandon();
  fetch->place = *place;
  fetch->waits_until = x_now + kRoomWithin;
  x_waiting.push_back(fetch);
  return true;
}

// Into dram, or, where its extent there has no place for it, to those alone who wait.
void TieredStore::bring_in(Fetch& fetch, const flash::Entry& entry) {
  if (!fetch.is_object) {
    ++x_counters.flash_hits;
    x_counters.flash_bytes += entry.header.payload_bytes;
  }
  store::BlockPut put;
  put.header = entry.header;
  put.parent = entry.parent;
  put.extent_blocks = kExtentBlocksMax;
  const std::byte* const at = fetch.slot.bytes().data();
  // Held until all have theirs: what one of them does next may need room.
  store::Pin held;
  if (x_exchange.settle(fetch.slot, put).is_ok()) {
    x_dram.publish(std::move(fetch.slot));
    auto pin = x_dram.pin_at(at);
    TARN_CHECK(pin.has_value());
    held = std::move(*pin);
  } else {
    held = x_exchange.lend(std::move(fetch.slot), entry.header);
  }
  for (auto& waiter : std::exchange(fetch.waiters, {})) {
    auto pin = x_dram.pin_at(at);
    TARN_CHECK(pin.has_value());
    waiter.done(std::move(*pin));
  }
}

// --- to flash

Result<store::Slot> TieredStore::reserve(const store::BlockPut& put) {
  const block::BlockKey& key = put.header.key;
  // What lies in the object store alone is put anew: it does not vouch for a class.
  if (is_on_flash(key)) return already_exists("the block is there");
  if (x_fetches.contains(key)) return conflict("the block is just being fetched, or removed");
  TARN_ASSIGN_OR_RETURN(store::Slot slot, x_dram.reserve(put));
  // What goes has to reach a drive first: it starts before its room is needed.
  if (has_below()) x_exchange.make_room_ahead(put);
  return slot;
}

store::Fate TieredStore::on_evicted(store::Leaving& leaving) {
  const block::BlockHeader& header = leaving.pin.header();
  if (is_below(header.key)) return store::Fate::kept_below;
  if (x_drives == nullptr) return offer(leaving);
  if (is_behind(header.payload_bytes)) return store::Fate::waits;
  auto begun = write(leaving, false);
  if (!begun) {
    ++x_counters.destage_refused;
    return offer(leaving);
  }
  (*begun)->is_leaving = true;
  return store::Fate::kept_below;
}

// To the object store, if anybody has asked for it: that copies the bytes, and nothing waits.
store::Fate TieredStore::offer(const store::Leaving& leaving) {
  if (x_object == nullptr || !leaving.was_read) return store::Fate::lost;
  flash::Entry entry;
  entry.header = leaving.pin.header();
  entry.parent = leaving.parent;
  entry.put_in = x_epoch;
  const Code taken = x_object->put(entry, leaving.pin.bytes()).code();
  const bool is_kept = taken == Code::ok || taken == Code::exists;
  return is_kept ? store::Fate::kept_below : store::Fate::lost;
}

// With as much as they may have, and getting on with it. Who does not get on is not waited for.
bool TieredStore::is_behind(uint64_t bytes) const {
  const bool is_full = x_writing_bytes > 0 && x_writing_bytes + bytes > x_options.writing_bytes_max;
  return is_full && x_now - x_written_at < kProgressWithin;
}

// Takes the pin if it begins.
Result<std::shared_ptr<TieredStore::Write>> TieredStore::write(store::Leaving& block,
                                                               bool is_asked_for) {
  const block::BlockHeader& header = block.pin.header();
  const uint64_t bytes = header.payload_bytes;
  if (x_writing_bytes == 0) x_written_at = x_now;
  if (x_writing_bytes > 0 && x_writing_bytes + bytes > x_options.writing_bytes_max)
    return overloaded("flash: too much is on its way to the drives");
  if (x_writes.contains(header.key)) return overloaded("the block is just being removed");
  TARN_RETURN_IF_ERROR(
      x_drives->admission().admit({header.key, bytes, is_asked_for, block.was_read}));
  const auto made = std::make_shared<Write>();
  flash::DriveWrite wanted;
  wanted.entry.header = header;
  wanted.entry.parent = block.parent;
  wanted.entry.put_in = x_epoch;
  const bool lasts = is_asked_for || block.was_read;
  wanted.lifetime = lasts ? flash::Lifetime::lasting : flash::Lifetime::brief;
  wanted.payload = block.pin.bytes();
  const auto home = x_options.home;
  wanted.done = [this, home, made](const Status& outcome, bool is_free) {
    home->post_answer([this, made, outcome, is_free] { on_written(made, outcome, is_free); });
  };
  wanted.freed = [this, home, made] {
    home->post_answer([this, made] {
      made->pin.release();
      std::erase(x_late_writes, made);
      --x_under_way;
    });
  };
  TARN_RETURN_IF_ERROR(x_drives->write(std::move(wanted)));
  ++x_under_way;
  x_writing_bytes += bytes;
  x_writes.emplace(header.key, made);
  made->pin = std::move(block.pin);
  return made;
}

void TieredStore::on_written(const std::shared_ptr<Write>& write, const Status& outcome,
                             bool is_free) {
  const block::BlockHeader header = write->header();
  x_writes.erase(header.key);
  x_writing_bytes -= header.payload_bytes;
  x_written_at = x_now;
  if (is_free) {
    --x_under_way;
    write->pin.release();
  } else {
    x_late_writes.push_back(write);
  }
  Status told = outcome;
  if (write->is_unwanted) {
    (void)forget_below(header.key);
    told = gone_meanwhile();
  } else if (outcome.is_ok()) {
    ++x_counters.destaged;
    announce(header, false);
  } else if (write->is_leaving) {
    ++x_counters.destage_refused;
    x_options.on_lost(header);
  }
  for (auto& waiter : std::exchange(write->waiters, {}))
    waiter.done(told);
}

void TieredStore::persist(const block::BlockKey& key, Instant deadline, store::PersistDone done) {
  if (x_drives == nullptr) return done(unsupported("this server has no flash tier"));
  const auto under_way = x_writes.find(key);
  if (under_way != x_writes.end()) {
    if (under_way->second->is_unwanted) return done(overloaded("the block is just being removed"));
    under_way->second->waiters.push_back({deadline, std::move(done)});
    return;
  }
  if (x_drives->index().find(key)) return done(Status::ok());
  auto source = x_exchange.hold(key);
  if (!source) return done(not_found("no such block"));
  auto begun = write(*source, true);
  if (!begun) return done(begun.error());
  (*begun)->waiters.push_back({deadline, std::move(done)});
}

// --- the end of blocks

Status TieredStore::remove(const block::BlockKey& key) {
  if (!has_below()) return x_dram.remove(key);
  bool was_below = x_object != nullptr && x_object->remove(key);
  if (const auto fetch = x_fetches.find(key); fetch != x_fetches.end())
    fetch->second->is_unwanted = true;
  if (const auto write = x_writes.find(key); write != x_writes.end()) {
    const bool was_wanted = !std::exchange(write->second->is_unwanted, true);
    was_below = was_below || was_wanted;
    if (was_wanted && write->second->is_leaving) x_options.on_lost(write->second->header());
  }
  was_below = forget_below(key) || was_below;
  const Status removed = x_dram.remove(key);
  return removed.code() == Code::not_found && was_below ? Status::ok() : removed;
}

// At once for whoever looks; who is told of it has to know more than the index does.
// Where it is just being moved, it is looked for again.
bool TieredStore::forget_below(const block::BlockKey& key) {
  if (x_drives == nullptr) return false;
  for (auto place = x_drives->index().find(key); place; place = x_drives->index().find(key)) {
    if (!x_drives->index().erase(key, *place)) continue;
    tell_forgotten(key, *place);
    return true;
  }
  return false;
}

void TieredStore::tell_forgotten(const block::BlockKey& key, const flash::FlashPlace& place) {
  flash::DriveRead wanted;
  wanted.key = key;
  wanted.place = place;
  const auto home = x_options.home;
  wanted.done = [this, home](Result<flash::Entry> entry, bool) {
    home->post_answer([this, entry = std::move(entry)] {
      --x_under_way;
      if (entry) announce(entry->header, true);
    });
  };
  wanted.freed = [] {};
  if (x_drives->remove(std::move(wanted)).is_ok()) ++x_under_way;
}

void TieredStore::on_config(Epoch epoch, std::span<const ring::Floor> floors) {
  if (!has_below() || epoch <= x_epoch) return;
  for (const ring::Floor& floor : floors)
    if (floor.epoch > x_epoch) forget_all(floor);
  x_epoch = epoch;
}

void TieredStore::forget_all(const ring::Floor& floor) {
  const auto is_meant = [&](const block::BlockKey& key) {
    return key.tenant == floor.tenant && (floor.space.is_zero() || key.space == floor.space);
  };
  for (const auto& [key, fetch] : x_fetches)
    fetch->is_unwanted = fetch->is_unwanted || is_meant(key);
  for (const auto& [key, write] : x_writes)
    write->is_unwanted = write->is_unwanted || is_meant(key);
  if (x_drives != nullptr)
    (void)x_drives->index().erase_all(floor.tenant, floor.space, floor.epoch);
  if (x_object != nullptr) x_object->remove_all(floor.tenant, floor.space, floor.epoch);
}

void TieredStore::announce(const block::BlockHeader& header, bool removed) {
  if (x_options.on_change) x_options.on_change({header, removed, store::Medium::flash});
}

size_t TieredStore::tick(Instant now) {
  x_now = now;
  const size_t begun = begin_waiting();
  if (now < x_due || (x_fetches.empty() && x_writes.empty())) return begun;
  x_due = now + kDeadlinesEvery;
  std::vector<store::ReadDone> reads;
  std::vector<store::PersistDone> writes;
  for (const auto& [key, fetch] : x_fetches)
    std::ranges::move(take_late(fetch->waiters, now), std::back_inserter(reads));
  for (const auto& [key, write] : x_writes)
    std::ranges::move(take_late(write->waiters, now), std::back_inserter(writes));
  for (const auto& done : reads)
    done(too_late());
  for (const auto& done : writes)
    done(too_late());
  return begun + reads.size() + writes.size();
}

// Pins and slots are the dram tier's.
const block::BlockHeader& TieredStore::header_of(const void*) const {
  TARN_CHECK(false);
  return x_found;
}
void TieredStore::unpin(void*) {
  TARN_CHECK(false);
}
void TieredStore::abandon(void*) {
  TARN_CHECK(false);
}
void TieredStore::set_payload_crc(void*, uint32_t) {
  TARN_CHECK(false);
}

}  // namespace tarn::tiers
