#include "server/store/slot_allocator.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/units.h"

namespace tarn::store {
namespace {

using memory::kMixedBlockBytesMax;
using memory::kMixedSlabBytes;

uint32_t units_of(uint64_t bytes) {
  return static_cast<uint32_t>(round_up(bytes, kPayloadAlignBytes) / kPayloadAlignBytes);
}

std::unique_ptr<SlabUse> lay_out(std::unique_ptr<memory::Slab> slab, const DomainId& domain,
                                 uint64_t slot_bytes) {
  const memory::SlabLayout layout(slab->bytes(), slot_bytes);
  return std::unique_ptr<SlabUse>(new SlabUse{.slab = std::move(slab),
                                              .domain = domain,
                                              .buddy = std::nullopt,
                                              .layout = layout,
                                              .free_slots = {},
                                              .owners = std::vector<void*>(layout.slot_count())});
}

}  // namespace

std::span<std::byte> SlotRef::payload(uint64_t bytes) const {
  return slab->slab->memory().subspan(slab->layout.payload_offset(slot), bytes);
}

SlotAllocator::SlotAllocator(SlotAllocatorOptions options) : x_options(std::move(options)) {
  TARN_CHECK(x_options.pool != nullptr);
}

SlotAllocator::~SlotAllocator() {
  while (!x_slabs.empty())
    drop(x_slabs.begin()->first);
}

bool SlotAllocator::goes_to_mixed(const Domain& domain, uint64_t bytes) {
  return domain.mixed == nullptr && bytes <= kMixedBlockBytesMax;
}

std::optional<SlotRef> SlotAllocator::allocate(const DomainId& domain, uint64_t bytes,
                                               void* owner) {
  TARN_CHECK(bytes >= 1 && bytes <= kBlockBytesMax);
  const auto found = x_domains.find(domain);
  if (found == x_domains.end()) return std::nullopt;
  std::optional<SlotRef> slot;
  if (found->second.mixed != nullptr && bytes <= kMixedBlockBytesMax) {
    slot = allocate_mixed(*found->second.mixed, bytes);
  }
  if (!slot) slot = allocate_class(found->second, bytes);
  if (!slot) return std::nullopt;
  x_empty.erase(slot->slab);
  ++slot->slab->live_slots;
  slot->slab->owners[slot->slot] = owner;
  // Before the first byte of header or payload is overwritten.
  slot->header().generation.fetch_add(1, std::memory_order_acq_rel);
  return slot;
}

std::optional<SlotRef> SlotAllocator::allocate_mixed(SlabUse& slab, uint64_t bytes) {
  const auto first = slab.buddy->allocate(units_of(bytes));
  if (!first) return std::nullopt;
  return SlotRef{&slab, *first};
}

std::optional<SlotRef> SlotAllocator::allocate_class(Domain& domain, uint64_t bytes) {
  const auto found = domain.classes.find(memory::size_class_of(bytes));
  if (found == domain.classes.end() || found->second.with_room.empty()) return std::nullopt;
  SlabUse* slab = *found->second.with_room.begin();
  const uint32_t slot = slab->free_slots.back();
  slab->free_slots.pop_back();
  if (slab->free_slots.empty()) found->second.with_room.erase(slab);
  return SlotRef{slab, slot};
}

void SlotAllocator::release(SlotRef slot) {
  SlabUse& slab = *slot.slab;
  TARN_CHECK(slab.live_slots > 0 && slab.owners[slot.slot] != nullptr);
  slab.owners[slot.slot] = nullptr;
  if (slab.is_mixed()) {
    slab.buddy->release(slot.slot);
  } else {
    slab.free_slots.push_back(slot.slot);
    x_domains[slab.domain].classes[slab.size_class].with_room.insert(&slab);
  }
  if (--slab.live_slots == 0) x_empty.insert(&slab);
}

void* SlotAllocator::owner_at(const std::byte* payload) const {
  const auto after = x_by_address.upper_bound(payload);
  if (after == x_by_address.begin()) return nullptr;
  const auto& [base, slab] = *std::prev(after);
  const auto offset = static_cast<uint64_t>(payload - base);
  const uint64_t first = slab->layout.payload_offset(0);
  if (offset < first || offset >= slab->slab->bytes()) return nullptr;
  const uint64_t slot = (offset - first) / slab->layout.slot_bytes();
  return slot < slab->owners.size() ? slab->owners[slot] : nullptr;
}

uint64_t SlotAllocator::bytes_to_grow(const DomainId& domain, uint64_t bytes) const {
  const auto found = x_domains.find(domain);
  const bool mixed =
      found == x_domains.end() ? bytes <= kMixedBlockBytesMax : goes_to_mixed(found->second, bytes);
  return mixed ? kMixedSlabBytes : memory::slab_bytes_of(memory::size_class_of(bytes));
}

uint64_t SlotAllocator::empty_bytes(const DomainId* domain) const {
  uint64_t sum = 0;
  for (const SlabUse* slab : x_empty) {
    if (domain == nullptr || slab->domain == *domain) sum += slab->slab->bytes();
  }
  return sum;
}

bool SlotAllocator::may_grow(const DomainId& domain, uint64_t bytes) const {
  const uint64_t wanted = bytes_to_grow(domain, bytes);
  if (x_slab_bytes + wanted > x_options.cap_bytes + empty_bytes(nullptr)) return false;
  return x_options.domain_cap_bytes == 0 ||
         domain_bytes(domain) + wanted <= x_options.domain_cap_bytes + empty_bytes(&domain);
}

bool SlotAllocator::may_ever_hold(uint64_t bytes) const {
  const uint64_t wanted = bytes <= kMixedBlockBytesMax
                              ? kMixedSlabBytes
                              : memory::slab_bytes_of(memory::size_class_of(bytes));
  return wanted <= x_options.cap_bytes &&
         (x_options.domain_cap_bytes == 0 || wanted <= x_options.domain_cap_bytes);
}

Status SlotAllocator::grow(const DomainId& domain, uint64_t bytes) {
  const uint64_t wanted = bytes_to_grow(domain, bytes);
  TARN_ASSIGN_OR_RETURN(auto slab, x_options.pool->take(wanted));
  const bool over_domain_cap =
      x_options.domain_cap_bytes != 0 && domain_bytes(domain) + wanted > x_options.domain_cap_bytes;
  if (x_slab_bytes + wanted > x_options.cap_bytes || over_domain_cap) drop_empty_slabs();
  TARN_CHECK(x_slab_bytes + wanted <= x_options.cap_bytes);
  if (x_options.on_slab) x_options.on_slab(*slab, domain);
  Domain& owner = x_domains[domain];
  const bool mixed = goes_to_mixed(owner, bytes);
  const memory::SizeClass size_class = memory::size_class_of(bytes);
  auto use = lay_out(std::move(slab), domain,
                     mixed ? kPayloadAlignBytes : memory::slot_bytes_of(size_class));
  if (mixed) {
    use->buddy.emplace(use->layout.slot_count());
    owner.mixed = use.get();
  } else {
    use->size_class = size_class;
    for (uint32_t slot = use->layout.slot_count(); slot-- > 0;)
      use->free_slots.push_back(slot);
    owner.classes[size_class].with_room.insert(use.get());
    owner.classes[size_class].slab_bytes += wanted;
  }
  owner.slab_bytes += wanted;
  x_slab_bytes += wanted;
  x_empty.insert(use.get());
  x_by_address.emplace(use->slab->memory().data(), use.get());
  x_slabs.emplace(use.get(), std::move(use));
  return Status::ok();
}

void SlotAllocator::drop_empty_slabs() {
  while (!x_empty.empty())
    drop(*x_empty.begin());
}

void SlotAllocator::drop(SlabUse* slab) {
  const auto found = x_slabs.find(slab);
  TARN_CHECK(found != x_slabs.end());
  const uint64_t bytes = slab->slab->bytes();
  Domain& owner = x_domains[slab->domain];
  if (slab->is_mixed()) {
    owner.mixed = nullptr;
  } else {
    const auto slabs = owner.classes.find(slab->size_class);
    slabs->second.with_room.erase(slab);
    slabs->second.slab_bytes -= bytes;
    if (slabs->second.slab_bytes == 0) owner.classes.erase(slabs);
  }
  owner.slab_bytes -= bytes;
  x_slab_bytes -= bytes;
  if (owner.slab_bytes == 0) x_domains.erase(slab->domain);
  x_empty.erase(slab);
  x_by_address.erase(slab->slab->memory().data());
  if (x_options.on_slab_gone) x_options.on_slab_gone(*slab->slab);
  x_options.pool->drop(std::move(slab->slab));
  x_slabs.erase(found);
}

uint64_t SlotAllocator::domain_bytes(const DomainId& domain) const {
  const auto found = x_domains.find(domain);
  return found == x_domains.end() ? 0 : found->second.slab_bytes;
}

// The domain with most memory pays, as long as it would still have at least as much as the one that
// asks; else whoever asks makes room among its own.
const DomainId& SlotAllocator::domain_to_charge(const DomainId& domain, uint64_t bytes) const {
  const auto most = std::max_element(x_domains.begin(), x_domains.end(), [](auto& a, auto& b) {
    return a.second.slab_bytes < b.second.slab_bytes;
  });
  if (most == x_domains.end()) return domain;
  const uint64_t after = domain_bytes(domain) + bytes_to_grow(domain, bytes);
  const bool cap_reached = x_options.domain_cap_bytes != 0 && after > x_options.domain_cap_bytes;
  return !cap_reached && most->second.slab_bytes >= after ? most->first : domain;
}

SlabUse* SlotAllocator::slab_to_clear(const DomainId& domain, uint64_t bytes, uint64_t search) {
  const DomainId charged = domain_to_charge(domain, bytes);
  if (charged == domain && has_class_share(domain, bytes)) return nullptr;
  const memory::SizeClass wanted = memory::size_class_of(bytes);
  SlabUse* best = nullptr;
  for (const auto& [slab, owned] : x_slabs) {
    if (slab->domain != charged || slab->live_slots == 0) continue;
    if (search != 0 && slab->stuck_in == search) continue;
    if (charged == domain && (slab->is_mixed() || slab->size_class == wanted)) continue;
    if (best == nullptr || slab->live_slots < best->live_slots) best = slab;
  }
  return best;
}

bool SlotAllocator::has_class_share(const DomainId& domain, uint64_t bytes) const {
  const auto own = x_domains.find(domain);
  if (own == x_domains.end()) return false;
  const auto slabs = own->second.classes.find(memory::size_class_of(bytes));
  const uint64_t have = slabs == own->second.classes.end() ? 0 : slabs->second.slab_bytes;
  const uint64_t room = bytes <= kMixedBlockBytesMax && own->second.mixed != nullptr;
  const uint64_t classes = std::max<uint64_t>(1, own->second.classes.size());
  if (have == 0) return room != 0 && own->second.classes.empty();
  return have >= own->second.slab_bytes / (2 * classes);
}

}  // namespace tarn::store
