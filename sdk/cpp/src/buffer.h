#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/fabric/local_memory.h"
#include "common/fabric/ucx_context.h"
#include "sdk/cpp/src/fork_guard.h"
#include "tarn/tarn.h"

namespace tarn::sdk {

// The most that one Buffer holds.
inline constexpr size_t kBufferBytesMax = size_t{1} << 46;

// What memory that is used for long is registered with: the client's UCX devices.
using UcxContexts = std::span<const std::shared_ptr<fabric::UcxContext>>;

// A run of memory that outlives every transfer which uses it: each of them shares it. Registered
// with the devices for its life, where they take it: pinned once, not by every transfer. Immutable;
// unmapped at its end when it is the SDK's own.
class Memory {
 public:
  // Zeroed and page-aligned; where `shown` is given, servers of this host may map it, and a child
  // of this process shares it. Returns: ok, invalid_argument, overloaded.
  static Result<std::shared_ptr<const Memory>> allocate(
      size_t size, UcxContexts contexts = {}, std::shared_ptr<fabric::LocalMemory> shown = nullptr);
  // Memory of the caller's. Returns: ok, invalid_argument.
  static Result<std::shared_ptr<const Memory>> adopt(void* data, size_t size,
                                                     UcxContexts contexts = {});
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  std::byte* data() const { return x_data; }
  size_t size() const { return x_size; }
  // Never used again for another in this process.
  uint64_t id() const { return x_id; }
  // Servers of this host may read it where it lies.
  bool is_shown() const { return x_shown != nullptr; }
  // With how many devices it is registered.
  size_t registrations() const { return x_registrations.size(); }

 private:
  Memory(std::byte* data, size_t size, bool is_ours);
  void register_with(UcxContexts contexts);
  void show_in(std::shared_ptr<fabric::LocalMemory> shown, int fd);

  std::byte* const x_data;
  const size_t x_size;
  const bool x_is_ours;
  const uint64_t x_id;
  const ForkGuard x_fork;
  std::vector<std::shared_ptr<const void>> x_registrations;
  std::shared_ptr<fabric::LocalMemory> x_shown;
  int x_fd = -1;  // of what is shown
};

// The live Buffers of one client: a slice that names none of them is of a freed buffer, or of
// another client's. Thread-safe.
class BufferRegistry {
 public:
  // Where servers of this host may read buffers. Before the first of them; null: nowhere.
  void show_in(std::shared_ptr<fabric::LocalMemory> shown) { x_shown = std::move(shown); }
  const std::shared_ptr<fabric::LocalMemory>& shown() const { return x_shown; }

  void add(const std::shared_ptr<const Memory>& memory);
  void remove(uint64_t id);

  // The memory that the slice lies in; null for memory that is in no Buffer.
  // Returns: ok, invalid_argument (no address, no bytes, freed or foreign buffer, past its end).
  Result<std::shared_ptr<const Memory>> check(const Slice& slice) const;

 private:
  std::shared_ptr<fabric::LocalMemory> x_shown;
  mutable Mutex x_mutex;
  std::unordered_map<uint64_t, std::shared_ptr<const Memory>> x_live TARN_GUARDED_BY(x_mutex);
};

}  // namespace tarn::sdk

namespace tarn {

// A Buffer's hold on its memory. Its end takes it out of the registry.
struct Buffer::Impl {
  Impl(std::shared_ptr<sdk::BufferRegistry> live, std::shared_ptr<const sdk::Memory> of)
      : registry(std::move(live)), memory(std::move(of)) {
    registry->add(memory);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  // The registry's lock may have been held when a child was forked: there it is left alone.
  ~Impl() {
    if (!fork.is_child()) registry->remove(memory->id());
  }

  const std::shared_ptr<sdk::BufferRegistry> registry;
  const std::shared_ptr<const sdk::Memory> memory;
  const sdk::ForkGuard fork;
};

}  // namespace tarn
