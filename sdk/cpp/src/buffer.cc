#include "sdk/cpp/src/buffer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"

namespace tarn::sdk {
namespace {

std::atomic<uint64_t> g_next_id{1};

// Memory that servers can map and that nobody can take away under them; -1 where there is none.
int shareable(size_t size) {
  const int fd = ::memfd_create("tarn-buffer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -1;
  const bool is_made = ::ftruncate(fd, static_cast<off_t>(size)) == 0 &&
                       ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0;
  if (is_made) return fd;
  ::close(fd);
  return -1;
}

}  // namespace

Memory::Memory(std::byte* data, size_t size, bool is_ours)
    : x_data(data), x_size(size), x_is_ours(is_ours), x_id(g_next_id.fetch_add(1)) {}

Memory::~Memory() {
  if (x_fork.is_child()) {
    // What the devices know of it is the parent's.
    (void)std::make_unique<decltype(x_registrations)>(std::move(x_registrations)).release();
  }
  x_registrations.clear();
  if (x_shown != nullptr && !x_fork.is_child()) x_shown->remove(x_id);
  if (x_fd >= 0) ::close(x_fd);
  if (x_is_ours) TARN_CHECK(munmap(x_data, x_size) == 0);
}

// A device that refuses, for want of lockable memory mostly, makes transfers slower and not wrong.
void Memory::register_with(UcxContexts contexts) {
  for (const auto& context : contexts) {
    const bool fails = TARN_FAULT_POINT("sdk.register_memory");
    auto held = fails ? Result<std::shared_ptr<const void>>(unavailable("the device refuses"))
                      : fabric::UcxContext::hold_memory(context, {x_data, x_size});
    if (held) {
      x_registrations.push_back(*std::move(held));
    } else {
      log::warn("a buffer is not registered for {} and will be slower: {}", context->transport(),
                held.error().message());
    }
  }
}

Result<std::shared_ptr<const Memory>> Memory::allocate(size_t size, UcxContexts contexts,
                                                       std::shared_ptr<fabric::LocalMemory> shown) {
  if (size == 0 || size > kBufferBytesMax) return invalid_argument("size: 1 byte to 64 TiB");
  const int fd = shown == nullptr ? -1 : shareable(size);
  const int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
  void* const data = TARN_FAULT_POINT("sdk.allocate")
                         ? MAP_FAILED
                         : mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (data == MAP_FAILED && fd >= 0) ::close(fd);
  if (data == MAP_FAILED) return overloaded("the machine has no memory for this buffer");
  // First touch of 4 KiB pages is 2.5 times dearer. Where the kernel declines, nothing is lost.
  madvise(data, size, MADV_HUGEPAGE);
  std::shared_ptr<Memory> memory(new Memory(static_cast<std::byte*>(data), size, true));
  memory->register_with(contexts);
  if (fd >= 0) memory->show_in(std::move(shown), fd);
  return std::shared_ptr<const Memory>(std::move(memory));
}

void Memory::show_in(std::shared_ptr<fabric::LocalMemory> shown, int fd) {
  x_shown = std::move(shown);
  x_fd = fd;
  x_shown->add({x_id, {x_data, x_size}, x_fd, {}});
}

Result<std::shared_ptr<const Memory>> Memory::adopt(void* data, size_t size, UcxContexts contexts) {
  if (data == nullptr) return invalid_argument("data: is null");
  if (size == 0 || size > kBufferBytesMax) return invalid_argument("size: 1 byte to 64 TiB");
  std::shared_ptr<Memory> memory(new Memory(static_cast<std::byte*>(data), size, false));
  memory->register_with(contexts);
  return std::shared_ptr<const Memory>(std::move(memory));
}

void BufferRegistry::add(const std::shared_ptr<const Memory>& memory) {
  TARN_CHECK(memory != nullptr);
  const MutexLock lock(x_mutex);
  x_live.emplace(memory->id(), memory);
}

void BufferRegistry::remove(uint64_t id) {
  const MutexLock lock(x_mutex);
  TARN_CHECK(x_live.erase(id) == 1);
}

Result<std::shared_ptr<const Memory>> BufferRegistry::check(const Slice& slice) const {
  if (slice.data == nullptr) return invalid_argument("is null");
  if (slice.size == 0) return invalid_argument("is empty");
  if (slice.buffer_id == 0) return std::shared_ptr<const Memory>();
  const MutexLock lock(x_mutex);
  const auto found = x_live.find(slice.buffer_id);
  if (found == x_live.end()) {
    return invalid_argument("lies in a buffer that was freed, or in one of another client's");
  }
  const Memory& memory = *found->second;
  const auto begin = reinterpret_cast<uintptr_t>(memory.data());
  const auto at = reinterpret_cast<uintptr_t>(slice.data);
  if (at < begin || at - begin > memory.size() || slice.size > memory.size() - (at - begin)) {
    return invalid_argument("reaches out of its buffer");
  }
  return found->second;
}

}  // namespace tarn::sdk

namespace tarn {

Buffer::Buffer(std::shared_ptr<Impl> impl) : x_impl(std::move(impl)) {}

std::byte* Buffer::data() const {
  return x_impl == nullptr ? nullptr : x_impl->memory->data();
}

size_t Buffer::size() const {
  return x_impl == nullptr ? 0 : x_impl->memory->size();
}

Slice Buffer::slice(size_t offset, size_t size) const {
  if (x_impl == nullptr || offset > this->size() || size > this->size() - offset) return {};
  return {data() + offset, size, x_impl->memory->id()};
}

}  // namespace tarn
