#include "server/store/dram_exchange.h"

#include <memory>
#include <utility>

#include "common/base/check.h"

namespace tarn::store {

std::optional<Leaving> DramExchange::hold(const block::BlockKey& key) {
  const auto found = x_dram.x_blocks.find(key);
  if (found == x_dram.x_blocks.end() || found->second->state != StoredBlock::State::visible)
    return std::nullopt;
  StoredBlock& block = *found->second;
  return Leaving{x_dram.pin_of(block), parent_of(block), block.was_read};
}

Result<Slot> DramExchange::reserve(const block::BlockKey& key, uint64_t payload_bytes) {
  if (!x_dram.x_memory.may_ever_hold(payload_bytes))
    return invalid_argument("payload: larger than the dram that this server may use for it");
  auto owned = std::make_unique<StoredBlock>();
  StoredBlock& block = *owned;
  block.header.key = key;
  block.header.payload_bytes = payload_bytes;
  BlockPut put;
  put.header = block.header;
  TARN_ASSIGN_OR_RETURN(block.slot, x_dram.make_room(put, &block));
  x_dram.x_loose.emplace(&block, std::move(owned));
  return Slot(&x_dram, &block, block.slot.payload(payload_bytes));
}

void DramExchange::make_room_ahead(const BlockPut& put) {
  const DomainId domain = domain_of(put.header.key);
  const uint64_t bytes = put.header.payload_bytes;
  SlotAllocator& memory = x_dram.x_memory;
  if (memory.may_grow(domain, bytes)) return;
  StoredBlock nobody;
  if (const auto free = memory.allocate(domain, bytes, &nobody)) return memory.release(*free);
  uint32_t older_slabs_left = 0;
  (void)x_dram.evict_for(put, older_slabs_left);
}

Status DramExchange::settle(Slot& loose, const BlockPut& put) {
  StoredBlock& block = block_of(loose.token());
  TARN_CHECK(block.extent == nullptr && block.header.key == put.header.key &&
             block.header.payload_bytes == put.header.payload_bytes);
  TARN_RETURN_IF_ERROR(x_dram.check_new(put));
  TARN_RETURN_IF_ERROR(x_dram.take_seat(put));
  const auto found = x_dram.x_loose.find(&block);
  auto owned = std::move(found->second);
  x_dram.x_loose.erase(found);
  (void)x_dram.place(std::move(owned), put);
  block.header.generation = {block.slot.header().generation.load(std::memory_order_relaxed)};
  return Status::ok();
}

Pin DramExchange::lend(Slot loose, const block::BlockHeader& header) {
  StoredBlock& block = block_of(loose.take_token());
  TARN_CHECK(block.extent == nullptr && block.state == StoredBlock::State::reserved);
  block.header = header;
  block.header.generation = {block.slot.header().generation.load(std::memory_order_relaxed)};
  DramTier::write_header(block);
  block.state = StoredBlock::State::removed;
  const auto found = x_dram.x_loose.find(&block);
  x_dram.x_removed.emplace(&block, std::move(found->second));
  x_dram.x_loose.erase(found);
  return x_dram.pin_of(block);
}

}  // namespace tarn::store
