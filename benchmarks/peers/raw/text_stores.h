#pragma once

#include <deque>
#include <memory>

#include "benchmarks/peers/raw/store.h"
#include "benchmarks/peers/raw/wire.h"

namespace tarn::peers {

// A server that answers requests of one connection in their order: requests are sent ahead, values
// go from the socket into their place. What memcached and RESP servers have in common. One-thread.
class TextStore : public Store {
 public:
  Status connect(const std::string& address) { return x_wire.connect(address); }

  Result<std::span<std::byte>> allocate(size_t bytes) override { return x_mapped.allocate(bytes); }
  Status begin_put(uint32_t slot, const std::string& key, std::span<std::byte> value) override;
  Status begin_get(uint32_t slot, const std::string& key, std::span<std::byte> place) override;
  Result<uint32_t> wait() override;
  Result<uint64_t> exists(std::span<const std::string> keys) override;
  Status remove(std::span<const std::string> keys) override;

 protected:
  virtual Status send_put(Wire& wire, const std::string& key, std::string_view value) = 0;
  virtual Status send_get(Wire& wire, const std::string& key) = 0;
  virtual std::string ask_exists(const std::string& key) = 0;
  virtual std::string ask_remove(const std::string& key) = 0;
  virtual bool is_put(std::string_view line) = 0;
  virtual bool is_there(std::string_view line) = 0;
  // The value's size that the line announces; nullopt where it announces none.
  virtual std::optional<uint64_t> value_bytes(std::string_view line) = 0;

 private:
  struct Running {
    uint32_t slot = 0;
    std::span<std::byte> place;  // empty for a put
  };

  Status read_value(std::span<std::byte> place);

  Wire x_wire;
  Mapped x_mapped;
  std::deque<Running> x_running;
};

// memcached's meta commands.
std::unique_ptr<TextStore> memcached_store();
// RESP 2, as Redis and Valkey speak it.
std::unique_ptr<TextStore> resp_store();

}  // namespace tarn::peers
