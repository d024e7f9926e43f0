#include "benchmarks/peers/raw/near_stores.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <unordered_map>

#include "common/base/check.h"
#include "common/block/checksum.h"

namespace tarn::peers {
namespace {

constexpr size_t kPlacePageBytes = 4096;

Status errno_status(const std::string& what) {
  return unavailable(what + ": " + std::generic_category().message(errno));
}

// Operations end while they are begun; their slots wait here to be taken.
class NearStore : public Store {
 public:
  Result<std::span<std::byte>> allocate(size_t bytes) override { return x_mapped.allocate(bytes); }
  Result<uint32_t> wait() override {
    TARN_CHECK(!x_ended.empty());
    const uint32_t slot = x_ended.front();
    x_ended.pop_front();
    return slot;
  }

 protected:
  void end(uint32_t slot) { x_ended.push_back(slot); }

 private:
  Mapped x_mapped;
  std::deque<uint32_t> x_ended;
};

class FileStore final : public NearStore {
 public:
  explicit FileStore(int folder) : x_folder(folder) {}
  ~FileStore() override { close(x_folder); }

  Status begin_put(uint32_t slot, const std::string& key, std::span<std::byte> value) override {
    const int file = openat(x_folder, key.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) return errno_status(key);
    const ssize_t written = write(file, value.data(), value.size());
    close(file);
    if (written != static_cast<ssize_t>(value.size())) return errno_status(key);
    end(slot);
    return Status::ok();
  }

  Status begin_get(uint32_t slot, const std::string& key, std::span<std::byte> place) override {
    const int file = openat(x_folder, key.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return not_found(key);
    const ssize_t got = read(file, place.data(), place.size());
    close(file);
    if (got != static_cast<ssize_t>(place.size())) return errno_status(key);
    end(slot);
    return Status::ok();
  }

  Result<uint64_t> exists(std::span<const std::string> keys) override {
    uint64_t there = 0;
    for (const std::string& key : keys)
      there += faccessat(x_folder, key.c_str(), F_OK, 0) == 0 ? 1 : 0;
    return there;
  }

  Status remove(std::span<const std::string> keys) override {
    for (const std::string& key : keys)
      unlinkat(x_folder, key.c_str(), 0);
    return Status::ok();
  }

 private:
  const int x_folder;
};

class CopyStore final : public NearStore {
 public:
  explicit CopyStore(std::span<std::byte> memory) : x_memory(memory) {}
  ~CopyStore() override { munmap(x_memory.data(), x_memory.size()); }

  Status begin_put(uint32_t slot, const std::string& key, std::span<std::byte> value) override {
    if (x_next + value.size() > x_memory.size()) x_next = 0;
    const std::span<std::byte> place = x_memory.subspan(x_next, value.size());
    x_next += (value.size() + kPlacePageBytes - 1) / kPlacePageBytes * kPlacePageBytes;
    const uint32_t crc = block::crc32c_copy(place.data(), value.data(), value.size());
    x_values[key] = {place, crc};
    end(slot);
    return Status::ok();
  }

  Status begin_get(uint32_t slot, const std::string& key, std::span<std::byte> place) override {
    const auto found = x_values.find(key);
    if (found == x_values.end() || found->second.bytes.size() != place.size()) {
      return not_found(key);
    }
    const Value& value = found->second;
    if (block::crc32c_copy(place.data(), value.bytes.data(), place.size()) != value.crc) {
      return corrupt(key);
    }
    end(slot);
    return Status::ok();
  }

  Result<uint64_t> exists(std::span<const std::string> keys) override {
    uint64_t there = 0;
    for (const std::string& key : keys)
      there += x_values.contains(key) ? 1 : 0;
    return there;
  }

  Status remove(std::span<const std::string> keys) override {
    for (const std::string& key : keys)
      x_values.erase(key);
    return Status::ok();
  }

 private:
  struct Value {
    std::span<std::byte> bytes;
    uint32_t crc = 0;
  };
  const std::span<std::byte> x_memory;
  size_t x_next = 0;
  std::unordered_map<std::string, Value> x_values;
};

}  // namespace

Result<std::unique_ptr<Store>> file_store(const std::string& folder) {
  const int opened = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0) return errno_status(folder);
  return std::unique_ptr<Store>(std::make_unique<FileStore>(opened));
}

Result<std::unique_ptr<Store>> copy_store(size_t bytes) {
  const int file = memfd_create("tarn-peer-copy", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) != 0) {
    if (file >= 0) close(file);
    return overloaded("no memfd of " + std::to_string(bytes) + " bytes");
  }
  void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
  close(file);
  if (at == MAP_FAILED) return overloaded("no memory for a memfd");
  const std::span<std::byte> memory(static_cast<std::byte*>(at), bytes);
  return std::unique_ptr<Store>(std::make_unique<CopyStore>(memory));
}

}  // namespace tarn::peers
