#include "router/member/file_authority.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>

#include "common/auth/secret_file.h"
#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/base/thread_name.h"
#include "common/block/checksum.h"
#include "router/member/latest_state.h"
#include "router/member/state_text.h"

namespace tarn::member {
namespace {

constexpr std::string_view kConfigFile = "config";
constexpr std::string_view kMagic = "tarncfg1";
// Magic, revision and CRC32C of the revision and the state, both little endian; then the state.
constexpr size_t kHeaderBytes = 8 + 8 + 4;

// An flock for as long as it lives; ends with the process too. One-thread.
class FileLock {
 public:
  FileLock() = default;
  FileLock(FileLock&& other) noexcept : x_fd(std::exchange(other.x_fd, -1)) {}
  FileLock& operator=(FileLock&& other) noexcept {
    std::swap(x_fd, other.x_fd);
    return *this;
  }
  ~FileLock() {
    if (x_fd >= 0) ::close(x_fd);
  }

  bool is_held() const { return x_fd >= 0; }

  // Returns: the lock; conflict when another has it and `wait` is false; unavailable.
  static Result<FileLock> take(const std::string& path, bool wait) {
    FileLock lock;
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return unavailable(path + ": " + std::strerror(errno));
    const int flags = wait ? LOCK_EX : LOCK_EX | LOCK_NB;
    while (::flock(fd, flags) != 0) {
      if (errno == EINTR) continue;
      const bool is_taken = errno == EWOULDBLOCK;
      const std::string reason = std::strerror(errno);
      ::close(fd);
      if (is_taken) return conflict(path + " is held by another process");
      return unavailable(path + ": " + reason);
    }
    lock.x_fd = fd;
    return lock;
  }

 private:
  int x_fd = -1;
};

uint32_t checksum(std::string_view revision, std::string_view body) {
  const uint32_t crc = block::crc32c(0, revision.data(), revision.size());
  return block::crc32c(crc, body.data(), body.size());
}

std::string encode_file(const ClusterState& state, uint64_t revision) {
  const std::string body = encode_state(state);
  const std::string_view number(reinterpret_cast<const char*>(&revision), sizeof(revision));
  const uint32_t crc = checksum(number, body);
  std::string out(kMagic);
  out += number;
  out.append(reinterpret_cast<const char*>(&crc), sizeof(crc));
  return out + body;
}

Result<StoredState> decode_file(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes || !bytes.starts_with(kMagic)) {
    return corrupt("the config file is no config");
  }
  const std::string_view number = bytes.substr(kMagic.size(), sizeof(uint64_t));
  const std::string_view body = bytes.substr(kHeaderBytes);
  uint32_t crc = 0;
  std::memcpy(&crc, bytes.data() + kHeaderBytes - sizeof(crc), sizeof(crc));
  if (crc != checksum(number, body)) return corrupt("the config file fails its checksum");
  StoredState stored;
  std::memcpy(&stored.revision, number.data(), sizeof(stored.revision));
  TARN_ASSIGN_OR_RETURN(stored.state, decode_state(body));
  return stored;
}

// See the header. x_swaps orders this process's writers; the flock those of several processes.
class FileAuthority : public Authority {
 public:
  explicit FileAuthority(std::string folder) : x_folder(std::move(folder)) {}

  ~FileAuthority() override { FileAuthority::stop(); }

  void start(std::function<void()> changed) override {
    TARN_CHECK(!x_poller.joinable());
    x_latest.start(std::move(changed));
    x_poller = std::thread([this] { poll(); });
  }

  void stop() override {
    {
      MutexLock lock(x_mutex);
      x_is_closing = true;
      x_closing.notify_all();
    }
    if (x_poller.joinable()) x_poller.join();
    x_holds_lock.store(false);
    x_controller_lock = FileLock();
  }

  Result<StoredState> load() override {
    auto stored = read();
    x_latest.set_reachable(stored.has_value());
    if (stored) x_latest.offer(stored.value());
    return stored;
  }

  Result<uint64_t> compare_and_swap(const ClusterState& state, uint64_t expected) override {
    TARN_RETURN_IF_ERROR(ring::validate(state.config));
    auto swapped = swap(state, expected);
    if (swapped.has_value()) {
      x_latest.offer({state, swapped.value()});
    } else if (swapped.error().code() == Code::unavailable) {
      x_latest.set_reachable(false);
    }
    return swapped;
  }

  std::shared_ptr<const StoredState> latest() const override { return x_latest.get(); }
  bool holds_lock() const override { return x_holds_lock.load(); }
  bool reachable() const override { return x_latest.reachable(); }
  std::string describe() const override { return "file " + x_folder; }

 private:
  std::string path(std::string_view name) const { return x_folder + "/" + std::string(name); }

  Result<StoredState> read() const {
    auto bytes = auth::read_secret_file(path(kConfigFile), auth::Privacy::owner);
    if (bytes) return decode_file(bytes.value());
    if (bytes.error().code() != Code::not_found) return bytes.error();
    // No file in a folder that is there: no state yet.
    if (::access(x_folder.c_str(), R_OK | X_OK) == 0) return StoredState{};
    return unavailable(x_folder + ": " + std::strerror(errno));
  }

  Result<uint64_t> swap(const ClusterState& state, uint64_t expected) {
    MutexLock lock(x_swaps);
    if (TARN_FAULT_POINT("authority.swap_fails")) return unavailable("the swap failed");
    TARN_ASSIGN_OR_RETURN(const FileLock file_lock, FileLock::take(path("config.lock"), true));
    TARN_CHECK(file_lock.is_held());
    TARN_ASSIGN_OR_RETURN(const StoredState now, read());
    if (now.revision != expected) {
      return conflict("the config has revision " + std::to_string(now.revision) + ", not " +
                      std::to_string(expected));
    }
    const uint64_t revision = expected + 1;
    TARN_RETURN_IF_ERROR(
        auth::write_secret_file(x_folder, std::string(kConfigFile), encode_file(state, revision)));
    return revision;
  }

  void poll() {
    set_thread_name("authority");
    bool is_first = true;
    while (true) {
      campaign();
      if (is_first || has_changed()) refresh();
      is_first = false;
      MutexLock lock(x_mutex);
      if (!x_is_closing) x_closing.wait_for(x_mutex, kFilePollInterval);
      if (x_is_closing) return;
    }
  }

  void campaign() {
    if (x_controller_lock.is_held()) return;
    auto lock = FileLock::take(path("controller.lock"), false);
    if (!lock) return;
    x_controller_lock = std::move(lock).value();
    x_holds_lock.store(true);
    x_latest.wake();
  }

  bool has_changed() {
    struct stat now = {};
    const bool is_there = ::stat(path(kConfigFile).c_str(), &now) == 0;
    if (TARN_FAULT_POINT("authority.watch_lost")) return false;
    const std::pair<ino_t, int64_t> mark = {
        is_there ? now.st_ino : 0, now.st_mtim.tv_sec * 1'000'000'000 + now.st_mtim.tv_nsec};
    return std::exchange(x_mark, mark) != mark || !x_latest.reachable();
  }

  void refresh() {
    const auto stored = load();
    const std::string problem = stored ? std::string() : stored.error().to_string();
    if (std::exchange(x_problem, problem) == problem) return;
    if (!problem.empty()) log::error("config in {}: {}", x_folder, problem);
  }

  const std::string x_folder;
  LatestState x_latest;
  std::atomic<bool> x_holds_lock = false;
  Mutex x_swaps;

  // The poller's own.
  FileLock x_controller_lock;
  std::pair<ino_t, int64_t> x_mark;
  std::string x_problem;

  Mutex x_mutex;
  CondVar x_closing;
  bool x_is_closing TARN_GUARDED_BY(x_mutex) = false;
  std::thread x_poller;
};

}  // namespace

Result<std::unique_ptr<Authority>> open_file_authority(const std::string& folder) {
  if (folder.empty()) return invalid_argument("authority: file: names no folder");
  TARN_RETURN_IF_ERROR(auth::make_secret_folder(folder));
  return std::unique_ptr<Authority>(std::make_unique<FileAuthority>(folder));
}

}  // namespace tarn::member
