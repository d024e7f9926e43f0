#include "benchmarks/index/rpc/ingest.h"

#include "proto/tarn/v1/storage.pb.h"
#include "router/rpc/stored_block.h"

namespace tarn::index_bench {
namespace {

template <typename Bytes>
std::string text(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string message_of(std::span<const index::BlockEvent> events) {
  v1::BlockEvents message;
  for (const index::BlockEvent& event : events) {
    v1::BlockEvent* const to = message.add_events();
    to->set_removed(event.removed);
    v1::StoredBlock* const block = to->mutable_block();
    block->set_tenant(text(event.block.tenant.bytes));
    block->set_space(text(event.block.space.bytes));
    block->set_shard(event.block.shard.value);
    block->set_hash(std::string(event.block.hash.view()));
    block->set_anchor(std::string(event.block.anchor.view()));
    block->set_index(event.block.index);
    block->set_bytes(event.block.bytes);
    block->set_tier(static_cast<v1::Tier>(event.block.tier));
    block->set_generation(1);
  }
  return message.SerializeAsString();
}

struct Ingest::Message {
  v1::BlockEvents events;
};

Ingest::Ingest(index::Index& index, index::Handle handle)
    : x_index(index), x_handle(handle), x_message(std::make_unique<Message>()) {}

Ingest::~Ingest() = default;

bool Ingest::take(const std::string& message) {
  if (!x_message->events.ParseFromString(message)) return false;
  x_index.apply(x_handle, router::events_from(x_message->events));
  return true;
}

}  // namespace tarn::index_bench
