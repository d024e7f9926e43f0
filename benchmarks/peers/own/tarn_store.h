#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "benchmarks/peers/raw/store.h"
#include "tarn/tarn.h"

namespace tarn::peers {

// Tarn by its public header: one transfer of one block for each operation, memory of the SDK's,
// checksums on as always. One-thread.
class TarnStore final : public Store {
 public:
  // Returns: the store; unavailable with Tarn's words.
  static Result<std::unique_ptr<TarnStore>> open(const ClientOptions& options);

  Result<std::span<std::byte>> allocate(size_t bytes) override;
  Status begin_put(uint32_t slot, const std::string& key, std::span<std::byte> value) override;
  Status begin_get(uint32_t slot, const std::string& key, std::span<std::byte> place) override;
  Result<uint32_t> wait() override;
  Result<uint64_t> exists(std::span<const std::string> keys) override;
  // Tarn has no call that removes a block: what is not used is evicted.
  Status remove(std::span<const std::string>) override { return Status::ok(); }

  // As the SDK says once something was asked of a server: "ucx: tcp over lo".
  std::string transport() const;

 private:
  struct Running {
    uint32_t slot = 0;
    Transfer transfer;
  };

  TarnStore(Client client, Space space) : x_client(std::move(client)), x_space(std::move(space)) {}
  Slice slice_of(std::span<std::byte> bytes) const;
  Result<uint32_t> end(size_t which);

  Client x_client;
  Space x_space;
  std::optional<Buffer> x_buffer;
  std::deque<Running> x_running;  // in the order of their begin
};

}  // namespace tarn::peers
