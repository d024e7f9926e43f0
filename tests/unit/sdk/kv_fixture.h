#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/fault_point.h"
#include "tests/unit/sdk/fake_cluster.h"

namespace tarn::sdk {

// A chain of blocks with their bytes, and memory to get them back into.
struct Chain {
  Chain(const std::string& name, size_t count, size_t bytes = 5000) {
    for (size_t i = 0; i < count; ++i) {
      hashes.push_back(name + "-" + std::to_string(i));
      texts.emplace_back(bytes, static_cast<char>('a' + i % 26));
      texts.back().replace(0, hashes.back().size(), hashes.back());
      rooms.emplace_back(bytes, '\0');
    }
  }

  std::vector<PutItem> writes(size_t first = 0, uint32_t shard = 0) {
    std::vector<PutItem> items;
    for (size_t i = first; i < hashes.size(); ++i) {
      PutItem item;
      item.hash = hashes[i];
      if (i > 0) item.parent = hashes[i - 1];
      // In two parts.
      const size_t half = texts[i].size() / 2;
      item.slices = {Slice::of(texts[i].data(), half),
                     Slice::of(texts[i].data() + half, texts[i].size() - half)};
      item.shard = shard;
      items.push_back(std::move(item));
    }
    return items;
  }
  std::vector<GetItem> reads(uint32_t shard = 0) {
    std::vector<GetItem> items;
    for (size_t i = 0; i < hashes.size(); ++i)
      items.push_back({hashes[i], {Slice::of(rooms[i].data(), rooms[i].size())}, shard});
    return items;
  }
  bool is_whole() const {
    for (size_t i = 0; i < texts.size(); ++i)
      if (rooms[i] != texts[i]) return false;
    return true;
  }

  std::vector<BlockHash> hashes;
  std::deque<std::string> texts;
  std::deque<std::string> rooms;
};

class KvTest : public ::testing::Test {
 protected:
  void start(size_t servers, ClientOptions options = {}, bool has_ucx = false) {
    cluster = std::make_unique<FakeCluster>(servers, has_ucx);
    ClientOptions base = cluster->options();
    base.transport = has_ucx ? Transport::automatic : Transport::grpc;
    base.timeout_ms = options.timeout_ms;
    base.in_flight_bytes_max = options.in_flight_bytes_max;
    base.hedge_fraction = options.hedge_fraction;
    base.polling = options.polling;
    auto connected = Client::connect(base);
    ASSERT_TRUE(connected) << connected.error().message;
    client.emplace(connected.value());
    space.emplace(open());
  }
  void TearDown() override { fault::disarm_all(); }

  // Within ten seconds.
  static bool becomes(const std::function<bool()>& wanted) {
    const Instant until = system_clock().now() + std::chrono::seconds(10);
    while (!wanted()) {
      if (system_clock().now() > until) return false;
      std::this_thread::yield();
    }
    return true;
  }
  template <typename Get>
  auto of_state(Get get) {
    const std::lock_guard lock(cluster->state().mutex);
    return get(cluster->state());
  }

  Space open(uint32_t tensor_parallel = 1, bool flat = false) {
    SpaceSpec spec;
    spec.model = "m";
    spec.tensor_parallel = tensor_parallel;
    spec.flat = flat;
    spec.extent_blocks = 4;
    auto opened = client->open_space(spec);
    EXPECT_TRUE(opened) << opened.error().message;
    return opened.value();
  }
  // The outcome of every item; equal ones once.
  static std::vector<Outcome> outcomes(Transfer& transfer) {
    EXPECT_TRUE(transfer.wait());
    EXPECT_TRUE(transfer.poll());
    std::vector<Outcome> all;
    for (const BlockOutcome& each : transfer.outcomes())
      if (all.empty() || all.back() != each.outcome) all.push_back(each.outcome);
    return all;
  }
  std::vector<Outcome> put(Chain& chain, CallOptions options = {}) {
    Transfer transfer = space->put_kv(chain.writes(), options);
    return outcomes(transfer);
  }
  std::vector<Outcome> get(Chain& chain, CallOptions options = {}) {
    Transfer transfer = space->get_kv(chain.reads(), options);
    return outcomes(transfer);
  }

  std::unique_ptr<FakeCluster> cluster;
  std::optional<Client> client;
  std::optional<Space> space;
};

}  // namespace tarn::sdk
