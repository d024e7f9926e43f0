#include <algorithm>
#include <array>
#include <bit>

#include "common/base/check.h"
#include "common/base/units.h"
#include "router/index/index.h"
#include "router/index/place.h"
#include "router/index/walk.h"

namespace tarn::index {
namespace {

constexpr uint32_t kTiers = 3;
// Hashes after which a reader lets others have their turn.
constexpr uint32_t kHashesPerTurn = 1024;
constexpr uint32_t kShardZero[] = {0};

uint32_t tier_index(Tier tier) {
  return static_cast<uint32_t>(tier) - static_cast<uint32_t>(Tier::dram);
}

}  // namespace

// Who has which blocks of one extent, for one set of shards.
struct Coverage {
  struct PerServer {
    Handle handle = kNoHandle;
    ServerId id;
    // By tier: blocks that it has in all shards, each in that tier or a faster one.
    std::array<uint64_t, kTiers> whole{};
    uint64_t any = 0;  // blocks that it has in some shard
  };
  std::array<PerServer, kHoldersMax> servers;
  uint32_t count = 0;
  uint64_t hits = 0;  // blocks that are there in all shards, on whatever servers

  PerServer* find_or_add(Handle handle) {
    for (uint32_t i = 0; i < count; ++i) {
      if (servers[i].handle == handle) return &servers[i];
    }
    if (count == kHoldersMax) return nullptr;
    servers[count].handle = handle;
    return &servers[count++];
  }

  // Fills holders and tier of a run for the block at `index`, best first: those with all shards
  // where there are any, by tier, else those with some.
  void describe(uint32_t index, MatchRun& run) const {
    const uint64_t bit = bit_of(index);
    run.holders = {};
    for (uint32_t tier = 0; tier < kTiers; ++tier) {
      for (uint32_t i = 0; i < count; ++i) {
        const PerServer& server = servers[i];
        const bool is_new = tier == 0 || (server.whole[tier - 1] & bit) == 0;
        if ((server.whole[tier] & bit) == 0 || !is_new) continue;
        if (run.holders.count == 0) run.tier = static_cast<Tier>(2 + tier);
        run.holders.ids[run.holders.count++] = server.id;
      }
    }
    if (run.holders.count > 0) return;
    run.tier = Tier::object;
    for (uint32_t i = 0; i < count; ++i) {
      if ((servers[i].any & bit) != 0) run.holders.ids[run.holders.count++] = servers[i].id;
    }
  }

  // How many blocks from `index` on are hits with the same holders in the same tiers.
  uint32_t count_alike(uint32_t index) const {
    uint64_t alike = hits;
    const auto same = [index](uint64_t bits) { return (bits >> index & 1) != 0 ? bits : ~bits; };
    for (uint32_t i = 0; i < count; ++i) {
      alike &= same(servers[i].any);
      for (const uint64_t whole : servers[i].whole)
        alike &= same(whole);
    }
    return static_cast<uint32_t>(std::countr_one(alike >> index));
  }
};

Coverage Index::coverage_of(const Row& row, std::span<const uint32_t> shards) const {
  Coverage all;
  const auto* const known = &x_servers;
  row.for_each_holder([&](const Holder& holder) {
    const auto server = known->find(holder.server);
    TARN_CHECK(server != known->end());
    if (server->second.retired) return;
    if (auto* seen = all.find_or_add(holder.server)) seen->id = server->second.id;
  });
  for (uint32_t i = 0; i < all.count; ++i)
    all.servers[i].whole.fill(~uint64_t{0});
  all.hits = ~uint64_t{0};
  for (const uint32_t shard : shards) {
    uint64_t anywhere = 0;
    for (uint32_t i = 0; i < all.count; ++i) {
      Coverage::PerServer& server = all.servers[i];
      std::array<uint64_t, kTiers> here{};
      row.for_each_holder([&](const Holder& holder) {
        if (holder.server == server.handle && holder.shard == shard) {
          here[tier_index(holder.tier)] |= holder.blocks;
        }
      });
      uint64_t so_far = 0;
      for (uint32_t tier = 0; tier < kTiers; ++tier) {
        so_far |= here[tier];
        server.whole[tier] &= so_far;
      }
      server.any |= so_far;
      anywhere |= so_far;
    }
    all.hits &= anywhere;
  }
  return all;
}

std::vector<Fingerprint> Index::prints_of(const ChainQuery& query) const {
  std::vector<Fingerprint> prints;
  prints.reserve(query.size());
  const DomainKey key = domain_key(x_seed, query.tenant, query.space);
  for (const uint64_t digest : query.digests)
    prints.push_back(fingerprint_of(key, digest));
  if (!prints.empty()) return prints;
  for (const block::BlockHash& hash : query.hashes)
    prints.push_back(fingerprint_of(key, hash));
  return prints;
}

// Takes one turn at the lock. False when the prefix has ended.
bool Index::match_some(const ChainQuery& query, std::span<const Fingerprint> prints,
                       MatchAnswer& answer) const {
  const ReadTurn turn(x_lock);
  const uint32_t domain = x_domains.find({query.tenant, query.space});
  const uint32_t turn_end = answer.matched + kHashesPerTurn;
  // Extents are mostly alike in length, so one tells where the next ones begin.
  size_t stride = answer.runs.empty() ? kExtentBlocksDefault : answer.runs.back().count;
  Walk walk(x_rows, {prints, {}, stride}, answer.matched);
  while (answer.matched < prints.size()) {
    if (answer.matched >= turn_end) return true;
    walk.go_to(answer.matched, stride);
    const auto found = x_rows.find(prints[answer.matched]);
    if (!found || x_rows.row(*found).domain != domain) return false;
    if (!add_run(query, prints, *found, answer)) return false;
    stride = answer.runs.back().count;
  }
  return false;
}

// The blocks that follow, as far as they are this row's. False when not even the first is a hit.
bool Index::add_run(const ChainQuery& query, std::span<const Fingerprint> prints, RowRef block,
                    MatchAnswer& answer) const {
  const Row& row = x_rows.row(block);
  const Coverage coverage = coverage_of(row, query.shards);
  MatchRun run;
  run.first = answer.matched;
  run.first_index = block.index();
  const uint32_t here = row.count_from(block.index(), prints.subspan(run.first));
  TARN_DCHECK(here > 0);
  run.count = std::min(coverage.count_alike(block.index()), here);
  if ((coverage.hits & bit_of(block.index())) == 0) return false;
  if (run.first_index > 0) {
    run.anchor = row.body->anchor;
  } else if (query.digests.empty()) {
    run.anchor = query.hashes[run.first];
  }
  run.block_bytes = row.block_bytes;
  coverage.describe(run.first_index, run);
  answer.runs.push_back(run);
  answer.matched += run.count;
  return true;
}

MatchAnswer Index::match(const ChainQuery& query) const {
  ChainQuery whole = query;
  if (whole.shards.empty()) whole.shards = kShardZero;
  const std::vector<Fingerprint> prints = prints_of(whole);
  MatchAnswer answer;
  while (match_some(whole, prints, answer)) {
  }
  return answer;
}

Located Index::locate_one(const ChainQuery& query, size_t i, Fingerprint print) const {
  Located located;
  const auto found = x_rows.find(print);
  if (!found) return located;
  const Row& row = x_rows.row(*found);
  if (row.domain != x_domains.find({query.tenant, query.space})) return located;
  located.index = found->index();
  uint64_t live = 0;
  const auto* const servers = &x_servers;
  row.for_each_holder([&](const Holder& holder) {
    const Server& server = servers->at(holder.server);
    if (server.retired) return;
    live |= holder.blocks;
    HolderList& list = located.holders;
    const bool is_there = std::find(list.begin(), list.end(), server.id) != list.end();
    const bool holds_it = (holder.blocks & bit_of(located.index)) != 0;
    if (holds_it && !is_there && list.count < kHoldersMax) list.ids[list.count++] = server.id;
  });
  if (located.holders.count == 0) return {};
  located.anchor = located.index == 0 ? query.hashes[i] : row.body->anchor;
  located.last = (live >> located.index) == 1;
  return located;
}

std::vector<Located> Index::locate(const ChainQuery& query) const {
  const std::vector<Fingerprint> prints = prints_of(query);
  std::vector<Located> all;
  all.reserve(prints.size());
  while (all.size() < prints.size()) {
    const size_t end = std::min(all.size() + kHashesPerTurn, prints.size());
    const ReadTurn turn(x_lock);
    Walk walk(x_rows, {prints, {}, 1}, all.size());
    for (size_t i = all.size(); i < end; ++i) {
      walk.go_to(i);
      all.push_back(locate_one(query, i, prints[i]));
    }
  }
  return all;
}

bool Index::is_at(RowRef block, ServerId server) const {
  bool found = false;
  const auto* const servers = &x_servers;
  x_rows.row(block).for_each_holder([&](const Holder& holder) {
    if ((holder.blocks & bit_of(block.index())) == 0) return;
    const Server& known = servers->at(holder.server);
    found |= known.id == server && !known.retired;
  });
  return found;
}

std::vector<Doubt> Index::doubts(const ChainQuery& query, std::span<const ServerId> servers) const {
  TARN_CHECK(servers.size() == query.hashes.size());
  const std::vector<Fingerprint> prints = prints_of(query);
  std::vector<Doubt> all;
  for (size_t begin = 0; begin < prints.size(); begin += kHashesPerTurn) {
    const size_t end = std::min(begin + kHashesPerTurn, prints.size());
    const ReadTurn turn(x_lock);
    const uint32_t domain = x_domains.find({query.tenant, query.space});
    Walk walk(x_rows, {prints, {}, 1}, begin);
    for (size_t i = begin; i < end; ++i) {
      walk.go_to(i);
      const auto found = x_rows.find(prints[i]);
      if (!found || x_rows.row(*found).domain != domain || !is_at(*found, servers[i])) continue;
      const Row& row = x_rows.row(*found);
      const ScanArea area{range_of(row.position), row.position, row.anchor_print};
      const Doubt doubt{servers[i], query.tenant, area};
      // Neighbours in a chain are in one extent.
      if (all.empty() || all.back() != doubt) all.push_back(doubt);
    }
  }
  return all;
}

}  // namespace tarn::index
