#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace tarn::peers {

// Stores of one thread run an operation while it is begun, or keep it going; either way its end
// shows with wait(), under the slot that it was begun with. One-thread.
class Store {
 public:
  virtual ~Store() = default;

  // Memory for payloads, of the kind that this store likes best; lives as long as the store.
  virtual Result<std::span<std::byte>> allocate(size_t bytes) = 0;

  virtual Status begin_put(uint32_t slot, const std::string& key, std::span<std::byte> value) = 0;
  // A value of another size than `place` is an error.
  virtual Status begin_get(uint32_t slot, const std::string& key, std::span<std::byte> place) = 0;
  // The slot of an operation that has ended well, waiting for one; or the first that failed.
  // Precondition: one is running.
  virtual Result<uint32_t> wait() = 0;

  // How many of the keys are there.
  virtual Result<uint64_t> exists(std::span<const std::string> keys) = 0;
  // Forgets the keys where the store can; Tarn evicts instead.
  virtual Status remove(std::span<const std::string> keys) = 0;
};

// Anonymous memory in huge pages where there are any. Move-only by being held in place.
class Mapped {
 public:
  Mapped() = default;
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  ~Mapped();
  // Returns: zeroed memory, every page touched; overloaded.
  Result<std::span<std::byte>> allocate(size_t bytes);

 private:
  std::vector<std::span<std::byte>> x_maps;
};

}  // namespace tarn::peers
