#include "server/object/store/object_store.h"

#include <algorithm>
#include <future>
#include <utility>

#include "common/base/log.h"

namespace tarn::object {
namespace {

constexpr Nanos kDeleteWithin = std::chrono::seconds(20);
// Of a pack's payload, what has to be live: else the pack goes, with what is left in it.
constexpr uint64_t kLiveShareMin = 4;
// The place of what is on its way.
constexpr uint32_t kNoPlace = UINT32_MAX;
constexpr uint64_t kPlaceBytes = 4u << 20;
constexpr uint64_t kPlacesMin = 256;
constexpr uint64_t kPlacesMax = 1u << 20;

uint32_t places_for(uint64_t bytes_max) {
  return static_cast<uint32_t>(std::clamp(bytes_max / kPlaceBytes, kPlacesMin, kPlacesMax));
}

}  // namespace

struct ObjectStore::Metrics {
  explicit Metrics(metrics::Registry& registry)
      : blocks(registry.gauge("tarn_object_blocks", "Blocks in the object store.")),
        bytes(registry.gauge("tarn_object_used_bytes", "Bytes of packs there.")),
        packs(registry.gauge("tarn_object_packs", "Objects that hold blocks.")),
        readable(registry.gauge("tarn_object_readable", "1: reads go; 0: they pause.")),
        writable(registry.gauge("tarn_object_writable", "1: writes go; 0: they pause.")),
        get_blocks(
            registry.counter("tarn_object_get_blocks_total", "Blocks that came from there.")),
        get_bytes(registry.counter("tarn_object_get_bytes_total", "Payload bytes of them.")),
        get_failures(registry.counter("tarn_object_get_failures_total",
                                      "Blocks that should have come and did not.")),
        get_requests(registry.counter("tarn_object_get_requests_total", "Requests for them.")),
        corrupt(registry.counter("tarn_object_corrupt_blocks_total",
                                 "Blocks that did not come back as they were.")),
        put_blocks(registry.counter("tarn_object_put_blocks_total", "Blocks that were put there.")),
        put_bytes(registry.counter("tarn_object_put_bytes_total", "Bytes of their packs.")),
        put_refused(registry.counter("tarn_object_put_refused_total",
                                     "Blocks that were not taken: too many, or writes pause.")),
        put_failures(
            registry.counter("tarn_object_put_failures_total", "Blocks whose upload failed.")),
        dropped(registry.counter("tarn_object_dropped_packs_total", "Packs that were deleted.")) {}

  void publish(const ObjectStoreStats& now) {
    blocks.set(static_cast<double>(now.blocks));
    bytes.set(static_cast<double>(now.bytes));
    packs.set(now.packs);
    readable.set(now.is_readable ? 1 : 0);
    writable.set(now.is_writable ? 1 : 0);
    get_blocks.add(now.reads.blocks - seen.reads.blocks);
    get_bytes.add(now.reads.bytes - seen.reads.bytes);
    get_failures.add(now.reads.failures - seen.reads.failures);
    get_requests.add(now.reads.requests - seen.reads.requests);
    corrupt.add(now.reads.corrupt - seen.reads.corrupt);
    put_blocks.add(now.writes.blocks - seen.writes.blocks);
    put_bytes.add(now.writes.bytes - seen.writes.bytes);
    put_refused.add(now.writes.refused - seen.writes.refused);
    put_failures.add(now.writes.lost - seen.writes.lost);
    dropped.add(now.packs_dropped - seen.packs_dropped);
    seen = now;
  }

  metrics::Gauge& blocks;
  metrics::Gauge& bytes;
  metrics::Gauge& packs;
  metrics::Gauge& readable;
  metrics::Gauge& writable;
  metrics::Counter& get_blocks;
  metrics::Counter& get_bytes;
  metrics::Counter& get_failures;
  metrics::Counter& get_requests;
  metrics::Counter& corrupt;
  metrics::Counter& put_blocks;
  metrics::Counter& put_bytes;
  metrics::Counter& put_refused;
  metrics::Counter& put_failures;
  metrics::Counter& dropped;
  ObjectStoreStats seen;
};

Result<std::unique_ptr<ObjectStore>> ObjectStore::open(ObjectStoreOptions options) {
  if (options.bytes_max < kPacksMin * options.pack_bytes)
    return invalid_argument("object_bytes: at least " +
                            std::to_string(kPacksMin * options.pack_bytes / kMiB) + " MiB");
  auto store = std::unique_ptr<ObjectStore>(new ObjectStore(std::move(options)));
  ObjectStore* const self = store.get();
  const ObjectStoreOptions& made = store->x_options;
  TARN_ASSIGN_OR_RETURN(store->x_client, S3Client::open(made.s3));
  S3Client* const client = store->x_client.get();
  store->x_reader = std::make_unique<PackReader>(
      PackReaderOptions{client, &self->x_packs, &self->x_index, &self->x_reads, made.server,
                        made.read_within, made.clock, [self](uint32_t place) {
                          if (self->x_packs.mark_leaving(place)) self->forget(place, {});
                        }});
  store->x_writer = std::make_unique<PackWriter>(PackWriterOptions{
      client, &self->x_packs, &self->x_index, &self->x_writes, made.server, made.pack_bytes,
      made.put_bytes_per_s, made.seal_after, std::chrono::seconds(120), made.clock, made.on_kept});
  store->x_catalog = std::make_unique<PackCatalog>(PackCatalogOptions{
      client, &self->x_packs, &self->x_index, &self->x_reads, made.server, made.clock,
      made.is_wanted, made.on_kept, [self] { self->x_writer->open_to_blocks(); }});
  client->loop().run([self] { self->tick(); });
  return store;
}

ObjectStore::ObjectStore(ObjectStoreOptions options)
    : x_options(std::move(options)),
      x_packs(places_for(x_options.bytes_max)),
      x_reads("reads of " + x_options.s3.url.bucket, *x_options.clock),
      x_writes("writes to " + x_options.s3.url.bucket, *x_options.clock) {
  x_index.add_drive(0, places_for(x_options.bytes_max));
  if (x_options.registry != nullptr) x_metrics = std::make_unique<Metrics>(*x_options.registry);
}

ObjectStore::~ObjectStore() {
  close();
}

void ObjectStore::close() {
  x_is_closing.store(true, std::memory_order_release);
  if (x_client != nullptr) x_client->close();
}

std::optional<flash::FlashPlace> ObjectStore::find(const block::BlockKey& key) const {
  if (x_reads.is_up())
    if (const auto place = x_index.find(key)) return place;
  return find_on_its_way(key);
}

std::optional<flash::FlashPlace> ObjectStore::hit(const block::BlockKey& key) {
  if (x_reads.is_up())
    if (const auto place = x_index.hit(key)) return place;
  return find_on_its_way(key);
}

std::optional<flash::FlashPlace> ObjectStore::find_on_its_way(const block::BlockKey& key) const {
  const auto bytes = x_writer->payload_bytes(key);
  if (!bytes) return std::nullopt;
  flash::FlashPlace place;
  place.region = kNoPlace;
  place.bytes = *bytes;
  return place;
}

// It may have arrived between the look-up and now.
Status ObjectStore::read(flash::DriveRead read) {
  if (read.place.region == kNoPlace) {
    if (auto entry = x_writer->copy(read.key, read.into)) {
      read.done(std::move(entry), true);
      return Status::ok();
    }
    const auto place = x_index.hit(read.key);
    if (!place || place->bytes != read.place.bytes) return not_found("object store: no such block");
    read.place = *place;
  }
  return x_reader->read(std::move(read));
}

Status ObjectStore::put(const flash::Entry& entry, std::span<const std::byte> payload) {
  if (x_index.find(entry.header.key)) return already_exists("the block is there");
  const uint64_t used = x_packs.bytes() + x_writer->bytes_on_their_way();
  const uint64_t room = x_options.bytes_max > used ? x_options.bytes_max - used : 0;
  return x_writer->put(entry, payload, x_packs.is_full() ? 0 : room);
}

bool ObjectStore::remove(const block::BlockKey& key) {
  if (x_writer->remove(key)) return true;
  x_catalog->remove_when_found(key);
  const auto place = x_index.find(key);
  if (!place || !x_index.erase(key, *place)) return false;
  x_packs.note_removal(place->region, static_cast<uint32_t>(place->offset / flash::kPageBytes));
  tell_removed(key, *place);
  return true;
}

void ObjectStore::remove_all(const TenantId& tenant, const SpaceId& space, Epoch floor) {
  x_writer->remove_all(tenant, space, floor);
  (void)x_index.erase_all(tenant, space, floor);
}

// Who is told has to know more than the index does: the block's page.
void ObjectStore::tell_removed(const block::BlockKey& key, const flash::FlashPlace& place) {
  const auto page = std::make_shared<std::vector<std::byte>>(flash::kPageBytes);
  const uint64_t number = x_packs.at(place.region).number;
  S3Get get;
  get.key = pack_key(x_options.server, number);
  get.offset = place.group;
  get.into = {*page};
  get.deadline = x_options.clock->now() + x_options.read_within;
  get.done = [this, page, key, place, number](const Status& outcome) {
    if (!outcome.is_ok()) return;
    const auto group =
        flash::decode_group(pack_stamp(x_options.server, number), place.group, *page);
    if (!group || group->entries.size() != 1 || group->entries[0].header.key != key) return;
    x_options.on_dropped({group->entries[0].header});
  };
  x_client->get(std::move(get));
}

Status ObjectStore::list(Instant deadline,
                         const std::function<bool(const block::BlockHeader&)>& visit) {
  for (const uint32_t place : x_packs.by_age()) {
    if (x_options.clock->now() >= deadline)
      return deadline_exceeded("object store: not all packs were listed");
    const Pack pack = x_packs.at(place);
    if (pack.number == 0 || x_index.use_of(0, place).live_blocks == 0) continue;
    const auto answer = std::make_shared<std::promise<Result<std::vector<flash::Entry>>>>();
    auto future = answer->get_future();
    x_client->loop().run([this, pack, answer] {
      x_catalog->read_entries(pack.number, pack.bytes,
                              [answer](Result<std::vector<flash::Entry>> entries) {
                                answer->set_value(std::move(entries));
                              });
    });
    const Nanos left = std::max<Nanos>(deadline - x_options.clock->now(), Nanos{0});
    if (future.wait_for(left) != std::future_status::ready)
      return deadline_exceeded("object store: not all packs were listed");
    const auto entries = future.get();
    if (!entries && entries.error().code() == Code::not_found) continue;
    if (!entries) return entries.error();
    for (const flash::Entry& entry : *entries) {
      const flash::FlashPlace at = {0, place, entry.offset, 0, 0};
      const bool is_there = x_index.hits_at(entry.header.key, at).has_value();
      if (is_there && !visit(entry.header)) return Status::ok();
    }
  }
  return Status::ok();
}

ObjectStoreStats ObjectStore::stats() const {
  ObjectStoreStats now;
  now.blocks = x_index.blocks();
  now.bytes = x_packs.bytes();
  now.packs = x_packs.packs();
  now.notes_waiting = x_packs.unnoted() + (x_is_noting.load(std::memory_order_relaxed) ? 1 : 0);
  now.is_known = x_catalog->is_done();
  now.is_readable = x_reads.is_up();
  now.is_writable = x_writes.is_up();
  now.writes = x_writer->counts();
  now.reads = x_reader->counts();
  now.packs_dropped = x_dropped.load(std::memory_order_relaxed);
  return now;
}

// --- on the thread

void ObjectStore::tick() {
  if (x_is_closing.load(std::memory_order_acquire)) return;
  x_catalog->tick();
  x_writer->seal_old(false);
  keep_room();
  write_notes();
  publish();
  x_client->loop().run_at(x_options.clock->now() + x_options.tick_every, [this] { tick(); });
}

void ObjectStore::publish() {
  if (x_metrics != nullptr) x_metrics->publish(stats());
}

// One pack at a time: room for two more is kept free.
void ObjectStore::keep_room() {
  if (x_is_dropping || !x_reads.is_up()) return;
  if (const auto place = choose()) drop(*place);
}

// One with too little in it; where room is short the one that was asked for least, block by block,
// of the older half: the newer ones have not had their time.
std::optional<uint32_t> ObjectStore::choose() const {
  std::vector<uint32_t> places = x_packs.by_age();
  for (const uint32_t place : places) {
    const uint64_t live = x_index.use_of(0, place).live_bytes;
    if (live * kLiveShareMin < x_packs.at(place).payload_bytes) return place;
  }
  const uint64_t wanted = x_packs.bytes() + 2 * x_options.pack_bytes;
  if (places.empty() || (wanted <= x_options.bytes_max && !x_packs.is_full())) return std::nullopt;
  places.resize((places.size() + 1) / 2);
  return *std::ranges::min_element(places, {}, [this](uint32_t place) {
    const flash::RegionUse use = x_index.use_of(0, place);
    return static_cast<double>(use.hits) /
           static_cast<double>(std::max<uint64_t>(1, use.live_blocks));
  });
}

// Its blocks are read first: who is told of them has to know more than the index does.
void ObjectStore::drop(uint32_t place) {
  if (!x_packs.mark_leaving(place)) return;
  x_is_dropping = true;
  const Pack pack = x_packs.at(place);
  x_catalog->read_entries(
      pack.number, pack.bytes, [this, place, pack](const Result<std::vector<flash::Entry>>& read) {
        const auto deadline = x_options.clock->now() + kDeleteWithin;
        x_client->remove(pack_key(x_options.server, pack.number), deadline,
                         [this, place, entries = read.value_or(std::vector<flash::Entry>())](
                             const Status& done) {
                           x_is_dropping = false;
                           x_writes.on_outcome(done);
                           if (!done.is_ok()) return x_packs.unmark_leaving(place);
                           forget(place, entries);
                         });
        if (pack.has_notes)
          x_client->remove(notes_key(x_options.server, pack.number), deadline,
                           [](const Status&) {});
      });
}

void ObjectStore::forget(uint32_t place, const std::vector<flash::Entry>& entries) {
  std::vector<block::BlockHeader> gone;
  for (const flash::Entry& entry : entries) {
    const flash::FlashPlace at = {0, place, entry.offset, 0, 0};
    if (x_index.erase(entry.header.key, at)) gone.push_back(entry.header);
  }
  (void)x_index.erase_region(0, place);
  x_packs.remove(place);
  x_dropped.fetch_add(1, std::memory_order_relaxed);
  if (!gone.empty()) x_options.on_dropped(std::move(gone));
}

void ObjectStore::write_notes() {
  if (!x_writes.is_up() || x_is_noting.exchange(true)) return;
  auto notes = x_packs.take_notes();
  if (!notes) return x_is_noting.store(false);
  const auto bytes =
      std::make_shared<std::vector<std::byte>>(encode_notes(notes->number, notes->pages));
  S3Put put;
  put.key = notes_key(x_options.server, notes->number);
  put.body = *bytes;
  put.hold = bytes;
  put.deadline = x_options.clock->now() + kDeleteWithin;
  put.done = [this, notes = std::move(*notes)](const Status& done) {
    x_is_noting = false;
    x_writes.on_outcome(done);
    if (!done.is_ok()) return x_packs.give_back_notes(notes);
    write_notes();
  };
  x_client->put(std::move(put));
}

}  // namespace tarn::object
