#include "server/object/store/pack_writer.h"

#include <algorithm>
#include <utility>

namespace tarn::object {
namespace {

// Seconds of the rate that may be written at once.
constexpr double kBurstSeconds = 4;

}  // namespace

struct PackWriter::Filling {
  Filling(const flash::RegionStamp& stamp, uint64_t bytes) : pack(stamp, bytes) {}

  PackBuilder pack;
  Instant began{0};
  uint64_t payload_bytes = 0;
  std::map<block::BlockKey, size_t> keys;  // of blocks that are to be found: which entry
};

PackWriter::PackWriter(PackWriterOptions options) : x_options(std::move(options)) {
  x_bucket = static_cast<double>(x_options.bytes_per_s) * kBurstSeconds;
  x_bucket_at = x_options.clock->now();
}

void PackWriter::open_to_blocks() {
  const MutexLock lock(x_mutex);
  x_is_open = true;
}

bool PackWriter::take_from_bucket(uint64_t bytes) {
  if (x_options.bytes_per_s == 0) return true;
  const Instant now = x_options.clock->now();
  const auto rate = static_cast<double>(x_options.bytes_per_s);
  const double seconds = std::chrono::duration<double>(now - x_bucket_at).count();
  x_bucket = std::min(x_bucket + seconds * rate, rate * kBurstSeconds);
  x_bucket_at = now;
  if (x_bucket <= 0) return false;
  x_bucket -= static_cast<double>(bytes);
  return true;
}

Status PackWriter::refuse(Status why) {
  ++x_counts.refused;
  return why;
}

void PackWriter::begin() {
  const uint64_t number = x_options.packs->next_number(x_options.clock->unix_ms());
  x_filling = std::make_shared<Filling>(pack_stamp(x_options.server, number), x_options.pack_bytes);
  x_filling->began = x_options.clock->now();
}

std::vector<std::shared_ptr<PackWriter::Filling>> PackWriter::both() const {
  std::vector<std::shared_ptr<Filling>> all;
  for (const auto& each : {x_filling, x_uploading})
    if (each != nullptr) all.push_back(each);
  return all;
}

Status PackWriter::put(const flash::Entry& entry, std::span<const std::byte> payload,
                       uint64_t room_bytes) {
  std::optional<S3Put> full;
  Status taken;
  {
    const MutexLock lock(x_mutex);
    taken = add(entry, payload, {room_bytes, full});
  }
  send(std::move(full));
  return taken;
}

Status PackWriter::add(const flash::Entry& entry, std::span<const std::byte> payload, Room room) {
  const block::BlockKey& key = entry.header.key;
  if (!x_is_open) return refuse(unavailable("object store: what lies there is not known yet"));
  if (!x_options.health->is_up()) return refuse(unavailable("object store: writes pause"));
  if (on_its_way(key)) return already_exists("the block is on its way");
  if (x_filling == nullptr) begin();
  const bool is_first = x_filling->pack.entries().empty();
  if (!is_first && x_filling->pack.bytes_with(payload.size()) > x_options.pack_bytes) {
    if (x_uploading != nullptr) return refuse(overloaded("object store: uploads are behind"));
    room.full = upload();
    begin();
  }
  if (x_filling->pack.bytes_with(payload.size()) > room.bytes)
    return refuse(overloaded("object store: object_bytes are used up"));
  if (!take_from_bucket(payload.size()))
    return refuse(overloaded("object store: more than object_put_bytes_per_s"));
  if (!x_filling->pack.add(entry, payload)) return refuse(overloaded("object store: no room"));
  x_filling->keys.emplace(key, x_filling->pack.entries().size() - 1);
  x_filling->payload_bytes += payload.size();
  return Status::ok();
}

std::optional<PackWriter::OnItsWay> PackWriter::on_its_way(const block::BlockKey& key) const {
  for (const auto* each : {&x_filling, &x_uploading}) {
    if (*each == nullptr) continue;
    const auto found = (*each)->keys.find(key);
    if (found != (*each)->keys.end())
      return OnItsWay{&(*each)->pack, &(*each)->pack.entries()[found->second]};
  }
  return std::nullopt;
}

std::optional<uint64_t> PackWriter::payload_bytes(const block::BlockKey& key) const {
  const MutexLock lock(x_mutex);
  const auto found = on_its_way(key);
  if (!found) return std::nullopt;
  return found->entry->header.payload_bytes;
}

Result<flash::Entry> PackWriter::copy(const block::BlockKey& key, std::span<std::byte> into) const {
  const MutexLock lock(x_mutex);
  const auto found = on_its_way(key);
  if (!found || found->entry->header.payload_bytes > into.size())
    return not_found("object store: the block is not on its way any more");
  std::ranges::copy(found->pack->payload(*found->entry), into.begin());
  return *found->entry;
}

bool PackWriter::remove(const block::BlockKey& key) {
  const MutexLock lock(x_mutex);
  size_t removed = 0;
  for (const auto& each : both())
    removed += each->keys.erase(key);
  return removed > 0;
}

// The index knows of the floor itself.
void PackWriter::remove_all(const TenantId& tenant, const SpaceId& space, Epoch floor) {
  const MutexLock lock(x_mutex);
  for (const auto& each : both())
    for (const flash::Entry& entry : each->pack.entries()) {
      const block::BlockKey& key = entry.header.key;
      const bool is_meant = key.tenant == tenant && (space.is_zero() || key.space == space);
      if (is_meant && entry.put_in < floor) each->keys.erase(key);
    }
}

bool PackWriter::takes_blocks() const {
  const MutexLock lock(x_mutex);
  return x_is_open && x_options.health->is_up() && (x_options.bytes_per_s == 0 || x_bucket > 0);
}

bool PackWriter::is_empty() const {
  return x_uploading == nullptr && (x_filling == nullptr || x_filling->pack.entries().empty());
}

bool PackWriter::finish(Nanos within) {
  const Instant end = x_options.clock->now() + within;
  while (x_options.clock->now() < end) {
    seal_old(true);
    const MutexLock lock(x_mutex);
    if (is_empty()) return true;
    (void)x_uploaded.wait_for(x_mutex, end - x_options.clock->now());
  }
  return false;
}

void PackWriter::seal_old(bool even_if_new) {
  std::optional<S3Put> old;
  {
    const MutexLock lock(x_mutex);
    if (x_filling == nullptr || x_uploading != nullptr || x_filling->pack.entries().empty()) return;
    const bool is_old = x_options.clock->now() - x_filling->began >= x_options.seal_after;
    if (is_old || even_if_new) old = upload();
  }
  send(std::move(old));
}

// Not under the lock: a client that is closed answers at once.
void PackWriter::send(std::optional<S3Put> put) {
  if (put) x_options.client->put(std::move(*put));
}

S3Put PackWriter::upload() {
  x_uploading = std::exchange(x_filling, nullptr);
  S3Put put;
  put.key = pack_key(x_options.server, x_uploading->pack.stamp().epoch);
  put.body = x_uploading->pack.seal();
  put.hold = x_uploading;
  put.deadline = x_options.clock->now() + x_options.within;
  put.done = [this, done = x_uploading](const Status& outcome) { on_uploaded(done, outcome); };
  return put;
}

void PackWriter::on_uploaded(const std::shared_ptr<Filling>& done, const Status& outcome) {
  x_options.health->on_outcome(outcome);
  Pack pack;
  pack.number = done->pack.stamp().epoch;
  pack.bytes = done->pack.bytes();
  pack.payload_bytes = done->payload_bytes;
  const auto place = outcome.is_ok() ? x_options.packs->add(pack) : std::nullopt;
  std::vector<block::BlockHeader> kept;
  {
    const MutexLock lock(x_mutex);
    if (place) {
      kept = make_found(*done, *place);
      x_counts.blocks += kept.size();
      x_counts.bytes += pack.bytes;
      ++x_counts.packs;
    } else {
      x_counts.lost += done->keys.size();
    }
    x_uploading = nullptr;
    x_uploaded.notify_all();
  }
  if (!kept.empty()) x_options.on_kept(std::move(kept));
  if (place) return;
  // What may be there nevertheless would be found by the next start, and paid for until then.
  x_options.client->remove(pack_key(x_options.server, pack.number),
                           x_options.clock->now() + x_options.within, [](const Status&) {});
}

// Under the lock, so that whoever removes a block finds it either here or in the index.
std::vector<block::BlockHeader> PackWriter::make_found(const Filling& done, uint32_t place) {
  std::vector<block::BlockHeader> kept;
  for (const flash::Entry& entry : done.pack.entries()) {
    if (!done.keys.contains(entry.header.key)) {
      x_options.packs->note_removal(place, static_cast<uint32_t>(entry.offset / flash::kPageBytes));
      continue;
    }
    const flash::FlashPlace at = {0, place, entry.offset, entry.offset - flash::kPageBytes,
                                  entry.header.payload_bytes};
    (void)x_options.index->put(entry.header.key, at, entry.put_in);
    kept.push_back(entry.header);
  }
  return kept;
}

uint64_t PackWriter::bytes_on_their_way() const {
  const MutexLock lock(x_mutex);
  uint64_t bytes = 0;
  for (const auto& each : both())
    bytes += each->pack.bytes();
  return bytes;
}

WriteCounts PackWriter::counts() const {
  const MutexLock lock(x_mutex);
  return x_counts;
}

}  // namespace tarn::object
