#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/memory/buddy.h"
#include "common/memory/size_class.h"
#include "common/memory/slab_layout.h"
#include "common/memory/slab_pool.h"

namespace tarn::store {

// Whose memory it is: a tenant, or one shared space. Slabs never change their domain.
using DomainId = Id128<struct DomainIdTag>;

// A slab and what lies in it. Owned by the SlotAllocator.
struct SlabUse {
  std::unique_ptr<memory::Slab> slab;
  DomainId domain;
  std::optional<memory::Buddy> buddy;  // of a mixed slab, in units of kPayloadAlignBytes
  memory::SizeClass size_class = 0;    // of a class slab
  memory::SlabLayout layout;
  std::vector<uint32_t> free_slots;  // of a class slab
  std::vector<void*> owners;         // by slot, or by first unit; what the tier said of it
  uint32_t live_slots = 0;
  uint64_t stuck_in = 0;  // the tier's last search that found that nothing can go from here

  bool is_mixed() const { return buddy.has_value(); }
};

// One slot in use. Value type.
struct SlotRef {
  SlabUse* slab = nullptr;
  uint32_t slot = 0;

  std::span<std::byte> payload(uint64_t bytes) const;
  memory::SlotHeader& header() const { return memory::slot_header(*slab->slab, slot); }
};

struct SlotAllocatorOptions {
  memory::SlabPool* pool = nullptr;  // outlives the allocator
  uint64_t cap_bytes = 0;            // of slabs, all domains together
  uint64_t domain_cap_bytes = 0;     // of slabs of one domain; 0: only cap_bytes counts
  // A slab came into use for the domain: fabrics register its memory.
  std::function<void(const memory::Slab&, const DomainId&)> on_slab;
  // Nothing of the slab is in use any more and it is about to go.
  std::function<void(const memory::Slab&)> on_slab_gone;
};

// The memory of one lane: slabs by domain, the first of a domain mixed (a buddy inside), further
// ones of one size class each. Knows nothing of blocks. One-thread. Empty class slabs stay until
// their room is wanted. Limits: the options' caps.
class SlotAllocator {
 public:
  explicit SlotAllocator(SlotAllocatorOptions options);
  SlotAllocator(const SlotAllocator&) = delete;
  SlotAllocator& operator=(const SlotAllocator&) = delete;
  ~SlotAllocator();

  // A slot in the domain's slabs; its generation has risen, its owner is `owner`. Nothing when they
  // have no room. Precondition: 1 <= bytes <= kBlockBytesMax.
  std::optional<SlotRef> allocate(const DomainId& domain, uint64_t bytes, void* owner);

  void release(SlotRef slot);

  // Whose slot begins with the payload at this address; null for nobody's.
  void* owner_at(const std::byte* payload) const;

  // True when a slab for such blocks fits under the caps, empty slabs of others being dropped.
  bool may_grow(const DomainId& domain, uint64_t bytes) const;

  // False for blocks that no eviction makes room for: their slab is larger than a cap.
  bool may_ever_hold(uint64_t bytes) const;

  // Adds a slab for such blocks. Precondition: may_grow. Returns: ok, overloaded (none is ready).
  Status grow(const DomainId& domain, uint64_t bytes);

  // The slab whose blocks are to go to make room for `domain`: of the domain that has most if that
  // is fair, else of the domain's other size classes where those have more than their share; none
  // that is stuck in this search (0: of no search). Null when the domain has to make room within
  // the size class of `bytes`.
  SlabUse* slab_to_clear(const DomainId& domain, uint64_t bytes, uint64_t search = 0);

  uint64_t slab_bytes() const { return x_slab_bytes; }
  uint64_t domain_bytes(const DomainId& domain) const;
  size_t slab_count() const { return x_slabs.size(); }

 private:
  struct ClassSlabs {
    std::set<SlabUse*> with_room;
    uint64_t slab_bytes = 0;
  };
  struct Domain {
    SlabUse* mixed = nullptr;
    std::map<memory::SizeClass, ClassSlabs> classes;
    uint64_t slab_bytes = 0;
  };

  static bool goes_to_mixed(const Domain& domain, uint64_t bytes);
  std::optional<SlotRef> allocate_mixed(SlabUse& slab, uint64_t bytes);
  std::optional<SlotRef> allocate_class(Domain& domain, uint64_t bytes);
  uint64_t bytes_to_grow(const DomainId& domain, uint64_t bytes) const;
  uint64_t empty_bytes(const DomainId* domain) const;
  void drop_empty_slabs();
  void drop(SlabUse* slab);
  const DomainId& domain_to_charge(const DomainId& domain, uint64_t bytes) const;
  // True when the domain has at least half of an even share of its bytes in the class of `bytes`.
  bool has_class_share(const DomainId& domain, uint64_t bytes) const;

  SlotAllocatorOptions x_options;
  std::map<DomainId, Domain> x_domains;
  std::map<SlabUse*, std::unique_ptr<SlabUse>> x_slabs;
  std::map<const std::byte*, SlabUse*> x_by_address;
  std::set<SlabUse*> x_empty;  // slabs without live slots
  uint64_t x_slab_bytes = 0;
};

}  // namespace tarn::store
