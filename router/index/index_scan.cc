#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "router/index/index.h"
#include "router/index/place.h"

namespace tarn::index {
namespace {

constexpr size_t kBlocksPerTurn = 128;

}  // namespace

void Index::begin_scan(Handle handle, const ScanArea& area) {
  TARN_CHECK(area.range < kRanges);
  const WriteTurn turn(x_lock);
  Server* server = live_server(handle);
  if (server == nullptr) return;
  server->scan = std::make_unique<Scan>();
  server->scan->area = area;
}

void Index::add_seen(Handle handle, Server& server, const StoredBlock& block) {
  const auto place = place_of(block);
  const ScanArea& area = server.scan->area;
  const bool is_extent = area.anchor_print != 0;
  if (!place || range_of(place->position) != area.range ||
      (is_extent && place->position != area.position)) {
    ++x_refused;
    return;
  }
  if (server.scan->tombstones.contains(tombstone_key(place->print, block))) return;
  if (!add(handle, block, *place)) ++x_refused;
}

void Index::add_scanned(Handle handle, std::span<const StoredBlock> blocks) {
  while (!blocks.empty()) {
    const auto some = blocks.first(std::min(blocks.size(), kBlocksPerTurn));
    blocks = blocks.subspan(some.size());
    const WriteTurn turn(x_lock);
    Server* server = live_server(handle);
    if (server == nullptr || !server->scan) return;
    for (const StoredBlock& block : some)
      add_seen(handle, *server, block);
  }
}

void Index::retain_seen(Handle handle, const Scan& scan, RowRef ref) {
  bool names_it = false;
  x_rows.row(ref).for_each_holder([&](const Holder& h) { names_it |= h.server == handle; });
  if (!names_it) return;
  x_rows.retain(ref, [&](const Holder& holder) {
    if (holder.server != handle) return ~uint64_t{0};
    const auto seen = scan.seen.find(seen_key(ref, holder.shard, holder.tier));
    return seen == scan.seen.end() ? 0 : seen->second;
  });
}

// False when it was of a whole range, and goes on.
bool Index::end_extent_scan(Handle handle, bool complete) {
  const WriteTurn turn(x_lock);
  Server* server = live_server(handle);
  if (server == nullptr || !server->scan) return true;
  const ScanArea& area = server->scan->area;
  if (area.anchor_print == 0) return false;
  const auto ref = x_rows.find(area.anchor_print);
  const bool is_there = ref && ref->index() == 0 && x_rows.row(*ref).position == area.position;
  if (complete && is_there) retain_seen(handle, *server->scan, *ref);
  server->scan.reset();
  return true;
}

void Index::end_scan(Handle handle, bool complete) {
  if (end_extent_scan(handle, complete)) return;
  for (uint32_t number = 0;; number += kRowsPerTurn) {
    const WriteTurn turn(x_lock);
    Server* server = live_server(handle);
    if (server == nullptr || !server->scan) return;
    const Scan& scan = *server->scan;
    const uint32_t limit = x_rows.row_limit(scan.area.range);
    const uint32_t end = std::min(number + kRowsPerTurn, limit);
    for (uint32_t i = number; complete && i < end; ++i)
      retain_seen(handle, scan, RowRef::of(scan.area.range, i));
    if (complete && end < limit) continue;
    server->scan.reset();
    return;
  }
}

ExtentImage Index::image_of(const Row& row) const {
  ExtentImage image;
  image.position = row.position;
  image.anchor_print = row.anchor_print;
  image.tenant = x_domains.at(row.domain).tenant;
  image.space = x_domains.at(row.domain).space;
  image.block_bytes = row.block_bytes;
  if (row.body != nullptr) {
    const auto prints = std::as_const(*row.body).prints();
    image.anchor = row.body->anchor;
    image.prints.assign(prints.begin(), prints.end());
  }
  const auto* const servers = &x_servers;
  row.for_each_holder([&](const Holder& holder) {
    const Server& server = servers->at(holder.server);
    if (server.retired) return;
    image.holders.push_back({server.id, holder.shard, holder.tier, holder.blocks});
  });
  return image;
}

std::vector<ExtentImage> Index::copy_range(uint32_t range) const {
  TARN_CHECK(range < kRanges);
  std::vector<ExtentImage> images;
  for (uint32_t number = 0;; number += kRowsPerTurn) {
    const ReadTurn turn(x_lock);
    const uint32_t limit = x_rows.row_limit(range);
    const uint32_t end = std::min(number + kRowsPerTurn, limit);
    for (uint32_t i = number; i < end; ++i) {
      const Row& row = x_rows.row(RowRef::of(range, i));
      if (row.anchor_print != 0) images.push_back(image_of(row));
    }
    if (end == limit) break;
  }
  std::sort(images.begin(), images.end(), [](const ExtentImage& a, const ExtentImage& b) {
    return std::pair(a.position, a.anchor_print) < std::pair(b.position, b.anchor_print);
  });
  return images;
}

uint64_t Index::range_changes(uint32_t range) const {
  const ReadTurn turn(x_lock);
  return x_rows.changes(range);
}

void Index::restore_one(const ExtentImage& image) {
  const Domain domain{image.tenant, image.space};
  const bool is_known = image.anchor_print == 0 || x_rows.find(image.anchor_print).has_value();
  if (is_known || image.holders.empty()) return;
  const auto ref =
      x_rows.add_row(image.position, x_domains.find_or_add(domain), image.anchor_print);
  if (!ref) return;
  Row& row = x_rows.row(*ref);
  row.block_bytes = image.block_bytes;
  for (const Fingerprint print : image.prints)
    x_rows.fetch(print);
  for (uint32_t i = 1; i <= image.prints.size() && i < kExtentBlocksMax; ++i) {
    const Fingerprint print = image.prints[i - 1];
    if (print != 0 && !x_rows.find(print)) x_rows.set_print(*ref, i, print);
  }
  if (row.body != nullptr) row.body->anchor = image.anchor;
  for (const auto& held : image.holders) {
    const Handle handle = attach_locked(held.server);
    if (!x_rows.has_room_for(*ref, handle)) continue;
    for (uint32_t i = 0; i < kExtentBlocksMax; ++i) {
      const bool is_held = (held.blocks >> i & 1) != 0 && row.print(i) != 0;
      if (is_held) x_rows.hold(*ref, i, {.server = handle, .shard = held.shard, .tier = held.tier});
    }
  }
  x_rows.forget_unheld(*ref);
}

void Index::restore(std::span<const ExtentImage> extents) {
  for (const ExtentImage& image : extents) {
    const WriteTurn turn(x_lock);
    restore_one(image);
  }
}

}  // namespace tarn::index
