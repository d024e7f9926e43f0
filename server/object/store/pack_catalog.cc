#include "server/object/store/pack_catalog.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"

namespace tarn::object {
namespace {

constexpr Nanos kWithin = std::chrono::seconds(20);
constexpr uint64_t kNotesBytesMax = 1u << 20;

}  // namespace

// The end of a pack on its way: first kTailBytes of it, then all of the footer if that is larger.
struct PackCatalog::Tail {
  uint64_t number = 0;
  uint64_t pack_bytes = 0;
  std::vector<std::byte> bytes;
  Footer done;
};

Instant PackCatalog::deadline() const {
  return x_options.clock->now() + kWithin;
}

void PackCatalog::tick() {
  if (is_done() || !x_options.health->is_up()) return;
  if (!x_is_listed) return list();
  next();
}

void PackCatalog::list() {
  if (std::exchange(x_is_listing, true)) return;
  const auto on_list = [this](Result<std::vector<S3Object>> objects) {
    x_is_listing = false;
    x_options.health->on_outcome(objects.status());
    if (objects) on_listed(*objects);
  };
  x_options.client->list(pack_folder(x_options.server), deadline(), on_list);
}

void PackCatalog::on_listed(const std::vector<S3Object>& objects) {
  x_is_listed = true;
  for (const S3Object& object : objects) {
    const auto name = parse_name(x_options.server, object.key);
    if (!name) continue;
    x_options.packs->know(name->number);
    Found& found = x_to_read[name->number];
    (name->is_notes ? found.notes_bytes : found.pack_bytes) = object.bytes;
  }
  // Notes of a pack that has gone.
  std::erase_if(x_to_read, [this](const auto& each) {
    const auto& [number, found] = each;
    if (found.pack_bytes >= kPackBytesMin) return false;
    x_options.client->remove(notes_key(x_options.server, number), deadline(), [](const Status&) {});
    return true;
  });
  x_options.on_listed();
  next();
}

void PackCatalog::next() {
  while (x_under_way < kAtOnce && !x_to_read.empty()) {
    // The newest first.
    const auto last = std::prev(x_to_read.end());
    const auto [number, found] = *last;
    x_to_read.erase(last);
    ++x_under_way;
    read_notes(number, found);
  }
  if (x_under_way > 0 || !x_to_read.empty() || is_done()) return;
  x_is_done.store(true, std::memory_order_release);
  {
    const MutexLock lock(x_mutex);
    x_removed.clear();
  }
  log::info("object store: {} blocks in {} packs are there", x_options.index->blocks(),
            x_options.packs->packs());
}

void PackCatalog::on_failed(uint64_t number, const Found& found, const Status& why) {
  --x_under_way;
  const bool is_final = why.code() == Code::corrupt || why.code() == Code::not_found ||
                        why.code() == Code::unsupported;
  if (is_final) {
    log::warn("object store: {} is left alone: {}", pack_key(x_options.server, number),
              why.message());
    return next();
  }
  // With the next tick.
  x_to_read.emplace(number, found);
}

void PackCatalog::read_notes(uint64_t number, const Found& found) {
  if (found.notes_bytes == 0 || found.notes_bytes > kNotesBytesMax)
    return read_pack(number, found, {});
  const auto bytes = std::make_shared<std::vector<std::byte>>(found.notes_bytes);
  S3Get get;
  get.key = notes_key(x_options.server, number);
  get.into = {*bytes};
  get.deadline = deadline();
  get.done = [this, number, found, bytes](const Status& outcome) {
    x_options.health->on_outcome(outcome);
    if (!outcome.is_ok()) return on_failed(number, found, outcome);
    auto gone = decode_notes(number, *bytes);
    // Without its notes a pack could bring removed blocks back.
    if (!gone) return on_failed(number, found, gone.error());
    read_pack(number, found, std::move(*gone));
  };
  x_options.client->get(std::move(get));
}

void PackCatalog::read_pack(uint64_t number, const Found& found, std::vector<uint32_t> gone) {
  read_entries(number, found.pack_bytes,
               [this, number, found,
                gone = std::move(gone)](Result<std::vector<flash::Entry>> entries) mutable {
                 on_entries(number, found, std::move(gone), std::move(entries));
               });
}

void PackCatalog::on_entries(uint64_t number, const Found& found, std::vector<uint32_t> gone,
                             Result<std::vector<flash::Entry>> entries) {
  if (!entries) return on_failed(number, found, entries.error());
  Pack pack;
  pack.number = number;
  pack.bytes = found.pack_bytes;
  pack.has_notes = found.notes_bytes > 0;
  pack.gone = gone;
  for (const flash::Entry& entry : *entries)
    pack.payload_bytes += entry.header.payload_bytes;
  const auto place = x_options.packs->add(std::move(pack));
  if (!place) return on_failed(number, found, corrupt("there are too many packs"));
  std::vector<block::BlockHeader> kept = make_found(*place, gone, *entries);
  if (!kept.empty()) x_options.on_kept(std::move(kept));
  --x_under_way;
  next();
}

// Under the lock, so that whoever removes a block is heard here, or finds it in the index.
std::vector<block::BlockHeader> PackCatalog::make_found(uint32_t place,
                                                        const std::vector<uint32_t>& gone,
                                                        const std::vector<flash::Entry>& entries) {
  std::vector<block::BlockHeader> kept;
  const MutexLock lock(x_mutex);
  for (const flash::Entry& entry : entries) {
    const auto page = static_cast<uint32_t>(entry.offset / flash::kPageBytes);
    if (std::ranges::find(gone, page) != gone.end() || !x_options.is_wanted(entry)) continue;
    if (x_removed.contains(entry.header.key)) {
      x_options.packs->note_removal(place, page);
      continue;
    }
    const flash::FlashPlace at = {0, place, entry.offset, entry.offset - flash::kPageBytes,
                                  entry.header.payload_bytes};
    if (x_options.index->put(entry.header.key, at, entry.put_in)) kept.push_back(entry.header);
  }
  return kept;
}

void PackCatalog::remove_when_found(const block::BlockKey& key) {
  if (is_done()) return;
  const MutexLock lock(x_mutex);
  if (x_removed.size() < kRemovedMax) {
    x_removed.insert(key);
  } else {
    log::warn(
        "object store: a removed block may come back: too many were removed before all packs "
        "are read");
  }
}

// --- the end of a pack

void PackCatalog::read_entries(uint64_t number, uint64_t pack_bytes, Footer done) {
  const auto tail = std::make_shared<Tail>();
  tail->number = number;
  tail->pack_bytes = pack_bytes;
  tail->bytes.resize(std::min(pack_bytes, kTailBytes));
  tail->done = std::move(done);
  S3Get get;
  get.key = pack_key(x_options.server, number);
  get.offset = pack_bytes - tail->bytes.size();
  get.into = {tail->bytes};
  get.deadline = deadline();
  get.done = [this, tail](const Status& outcome) { on_tail(tail, outcome); };
  x_options.client->get(std::move(get));
}

void PackCatalog::on_tail(const std::shared_ptr<Tail>& tail, const Status& outcome) {
  x_options.health->on_outcome(outcome);
  if (!outcome.is_ok()) return tail->done(outcome);
  const auto stamp = pack_stamp(x_options.server, tail->number);
  const auto bytes = footer_size(stamp, tail->bytes);
  if (!bytes) return tail->done(bytes.error());
  if (*bytes > tail->pack_bytes) return tail->done(corrupt("a footer larger than its pack"));
  if (*bytes <= tail->bytes.size())
    return tail->done(read_footer(stamp, tail->pack_bytes, std::span(tail->bytes).last(*bytes)));
  tail->bytes.resize(*bytes);
  S3Get get;
  get.key = pack_key(x_options.server, tail->number);
  get.offset = tail->pack_bytes - *bytes;
  get.into = {tail->bytes};
  get.deadline = deadline();
  get.done = [this, tail](const Status& again) { on_tail(tail, again); };
  x_options.client->get(std::move(get));
}

}  // namespace tarn::object
