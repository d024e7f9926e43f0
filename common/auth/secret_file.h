#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"

namespace tarn::auth {

inline constexpr size_t kSecretFileBytesMax = 1 << 20;

// Whose eyes a file is for.
enum class Privacy { anyone, owner };

// Reads a whole file. With Privacy::owner, a file that its group or others may touch is refused.
// Blocks on the disk. Returns: the bytes; not_found; permission_denied with the chmod that mends
// it; corrupt when it is no file or too large; unavailable.
Result<std::string> read_secret_file(const std::string& path, Privacy privacy);

// Puts a file of mode 0600 into the folder: all of it or, after a crash too, none of it; replaces
// an older one. One writer a folder at a time, see FolderLock. Blocks until it is on disk.
// Returns: ok; unavailable with the reason of the system.
Status write_secret_file(const std::string& folder, const std::string& name,
                         std::string_view contents);

// Makes the folder, mode 0700, and those above it, when there is none; refuses one in which others
// may write. Returns: ok; permission_denied with the chmod that mends it; unavailable.
Status make_secret_folder(const std::string& folder);
Status check_secret_folder(const std::string& folder);

// Holds a folder for one writer among all processes, until it is destroyed. One-thread.
class FolderLock {
 public:
  // Never waits. Returns: the lock; unavailable when another holds it.
  static Result<FolderLock> open(const std::string& folder);

  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&& other) = delete;
  ~FolderLock();

 private:
  explicit FolderLock(int fd) : x_fd(fd) {}

  int x_fd = -1;
};

}  // namespace tarn::auth
