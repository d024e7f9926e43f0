#include "benchmarks/peers/own/tarn_store.h"

#include <algorithm>

#include "common/base/check.h"

namespace tarn::peers {
namespace {

Status status_of(const Error& error) {
  return unavailable(std::string(outcome_name(error.outcome)) + ": " + error.message);
}

SpaceSpec race_space() {
  SpaceSpec spec;
  spec.model = "peers";
  spec.revision = "1";
  spec.dtype = "bytes";
  spec.layout = "bytes";
  spec.hash_scheme = "peers";
  spec.flat = true;
  return spec;
}

}  // namespace

Result<std::unique_ptr<TarnStore>> TarnStore::open(const ClientOptions& options) {
  auto client = Client::connect(options);
  if (!client) return status_of(client.error());
  auto space = client->open_space(race_space());
  if (!space) return status_of(space.error());
  return std::unique_ptr<TarnStore>(new TarnStore(*std::move(client), *std::move(space)));
}

Result<std::span<std::byte>> TarnStore::allocate(size_t bytes) {
  auto buffer = x_client.allocate(bytes);
  if (!buffer) return status_of(buffer.error());
  x_buffer.emplace(std::move(buffer).value());
  return std::span<std::byte>(x_buffer->data(), bytes);
}

Slice TarnStore::slice_of(std::span<std::byte> bytes) const {
  TARN_CHECK(x_buffer.has_value());
  return x_buffer->slice(static_cast<size_t>(bytes.data() - x_buffer->data()), bytes.size());
}

Status TarnStore::begin_put(uint32_t slot, const std::string& key, std::span<std::byte> value) {
  const PutItem item{key, {}, {slice_of(value)}};
  x_running.push_back({slot, x_space.put_kv({&item, 1})});
  return Status::ok();
}

Status TarnStore::begin_get(uint32_t slot, const std::string& key, std::span<std::byte> place) {
  const GetItem item{key, {slice_of(place)}};
  x_running.push_back({slot, x_space.get_kv({&item, 1})});
  return Status::ok();
}

Result<uint32_t> TarnStore::end(size_t which) {
  const Running running = std::move(x_running[which]);
  x_running.erase(x_running.begin() + static_cast<ptrdiff_t>(which));
  const BlockOutcome& outcome = running.transfer.outcomes()[0];
  if (outcome.outcome == Outcome::ok) return running.slot;
  return status_of({outcome.outcome, outcome.message});
}

// One that has ended already, else the oldest, which mostly is the first to end.
Result<uint32_t> TarnStore::wait() {
  TARN_CHECK(!x_running.empty());
  const auto ended = std::find_if(x_running.begin(), x_running.end(),
                                  [](const Running& one) { return one.transfer.poll(); });
  if (ended != x_running.end()) return end(static_cast<size_t>(ended - x_running.begin()));
  if (auto waited = x_running.front().transfer.wait(); !waited) return status_of(waited.error());
  return end(0);
}

Result<uint64_t> TarnStore::exists(std::span<const std::string> keys) {
  const auto there = x_space.exists(keys);
  if (!there) return status_of(there.error());
  return static_cast<uint64_t>(std::count(there.value().begin(), there.value().end(), true));
}

std::string TarnStore::transport() const {
  const std::vector<ConnectionInfo> connections = x_client.connections();
  return connections.empty() ? "none" : connections[0].transport;
}

}  // namespace tarn::peers
