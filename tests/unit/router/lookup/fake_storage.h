#pragma once

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/ring/position.h"
#include "common/rpc/convert.h"
#include "proto/tarn/v1/storage.grpc.pb.h"
#include "tests/unit/router/index/blocks.h"

namespace tarn::router {

// Waits, for a few seconds at most, until it holds.
inline bool eventually(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < end) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return holds();
}

inline v1::StoredBlock to_proto(const index::StoredBlock& block) {
  v1::StoredBlock message;
  message.set_tenant(rpc::to_bytes(block.tenant));
  message.set_space(rpc::to_bytes(block.space));
  message.set_shard(block.shard.value);
  message.set_hash(std::string(block.hash.view()));
  message.set_anchor(std::string(block.anchor.view()));
  message.set_index(block.index);
  message.set_bytes(block.bytes);
  message.set_tier(static_cast<v1::Tier>(block.tier));
  return message;
}

// The part of a storage server that the index listens to: blocks, events, inventory, on a loopback
// port. What it tells can be bent by a test.
class FakeStorage : public v1::StorageControl::Service {
 public:
  FakeStorage() { start(0); }
  ~FakeStorage() override { stop(); }

  std::string endpoint() const { return "127.0.0.1:" + std::to_string(x_port); }

  void put(const index::StoredBlock& block) { change(block, false); }
  void remove(const index::StoredBlock& block) { change(block, true); }
  // A change that no event tells of.
  void lose(const index::StoredBlock& block) {
    const std::lock_guard lock(x_mutex);
    std::erase_if(x_blocks, [&](const auto& kept) { return kept.hash == block.hash; });
  }
  // Streams are told that they missed something.
  void make_gap() {
    const std::lock_guard lock(x_mutex);
    ++x_gaps;
    x_changed.notify_all();
  }
  // The server process begins anew, with nothing.
  void restart(uint64_t new_incarnation) {
    stop();
    {
      const std::lock_guard lock(x_mutex);
      x_blocks.clear();
      x_events.clear();
      incarnation = new_incarnation;
    }
    start(x_port);
  }
  // The connections break, the server stays as it is.
  void drop_connections() {
    stop();
    start(x_port);
  }
  void stop() {
    if (!x_server) return;
    {
      const std::lock_guard lock(x_mutex);
      x_closing = true;
      x_changed.notify_all();
    }
    x_server->Shutdown();
    x_server.reset();
  }

  // Of ranges; and of single positions.
  int inventories() const { return x_inventories; }
  int questions() const { return x_questions; }
  uint64_t resumed_after() const { return x_resumed_after; }

  uint64_t incarnation = 1;
  std::atomic<bool> refuses_inventories = false;
  // Called before each range's answer is sent, after it was read.
  std::function<void()> before_answer = [] {};

  grpc::Status Inventory(grpc::ServerContext*, const v1::InventoryRequest* request,
                         grpc::ServerWriter<v1::InventoryChunk>* writer) override {
    v1::InventoryChunk chunk;
    {
      const std::lock_guard lock(x_mutex);
      chunk.set_incarnation(incarnation);
      chunk.set_sequence(x_events.size());
      for (const auto& block : x_blocks) {
        const uint64_t at = ring::position_of(block.tenant, block.space, block.anchor).value;
        const bool in_range = at >= request->first_position() && at <= request->last_position();
        if (in_range) *chunk.add_blocks() = to_proto(block);
      }
    }
    if (request->first_position() <= request->last_position()) {
      const bool is_range = request->first_position() != request->last_position();
      ++(is_range ? x_inventories : x_questions);
      before_answer();
    }
    if (refuses_inventories) return {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many streams"};
    if (chunk.blocks_size() > 0) writer->Write(chunk);
    chunk.clear_blocks();
    chunk.set_done(true);
    writer->Write(chunk);
    return grpc::Status::OK;
  }

  grpc::Status WatchBlocks(grpc::ServerContext* context, const v1::WatchBlocksRequest* request,
                           grpc::ServerWriter<v1::BlockEvents>* writer) override {
    std::unique_lock lock(x_mutex);
    int gaps = x_gaps;
    bool gap = request->incarnation() != incarnation || request->after_sequence() > x_events.size();
    size_t sent = gap ? x_events.size() : request->after_sequence();
    x_resumed_after = gap ? 0 : sent;
    while (!x_closing && !context->IsCancelled()) {
      gap |= gaps != x_gaps;
      gaps = x_gaps;
      if (!gap && sent == x_events.size()) {
        x_changed.wait_for(lock, std::chrono::milliseconds(5));
        continue;
      }
      v1::BlockEvents message;
      message.set_incarnation(incarnation);
      message.set_gap(gap);
      message.set_first_sequence(sent + 1);
      for (; sent < x_events.size(); ++sent)
        *message.add_events() = x_events[sent];
      gap = false;
      lock.unlock();
      const bool written = writer->Write(message);
      lock.lock();
      if (!written) break;
    }
    return grpc::Status::OK;
  }

 private:
  void start(int port) {
    x_closing = false;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                             &x_port);
    builder.RegisterService(this);
    x_server = builder.BuildAndStart();
    ASSERT_TRUE(x_server);
  }

  void change(const index::StoredBlock& block, bool removed) {
    const std::lock_guard lock(x_mutex);
    std::erase_if(x_blocks, [&](const auto& kept) { return kept.hash == block.hash; });
    if (!removed) x_blocks.push_back(block);
    v1::BlockEvent event;
    *event.mutable_block() = to_proto(block);
    event.set_removed(removed);
    x_events.push_back(event);
    x_changed.notify_all();
  }

  std::mutex x_mutex;
  std::condition_variable x_changed;
  std::vector<index::StoredBlock> x_blocks;
  std::vector<v1::BlockEvent> x_events;  // of sequence 1, 2, ...
  int x_gaps = 0;
  bool x_closing = false;
  std::atomic<int> x_inventories = 0;
  std::atomic<int> x_questions = 0;
  std::atomic<uint64_t> x_resumed_after = 0;
  int x_port = 0;
  std::unique_ptr<grpc::Server> x_server;
};

}  // namespace tarn::router
