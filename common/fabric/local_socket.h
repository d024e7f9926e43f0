#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "common/base/result.h"
#include "common/fabric/fabric.h"

namespace tarn::fabric {

inline constexpr uint32_t kLocalVersion = 2;

// The folder through which the processes of a host find each other. Immutable value type.
struct LocalFolder {
  std::string path;
  // The same for everybody who sees the same folder, wherever it is mounted; of no other folder of
  // this host.
  std::string fingerprint;

  // Whose folder it may be: who owns it can put a socket of its own in a server's place.
  enum class Owner : uint8_t { any, user_or_root };

  // Makes it, for this user alone, when `create` and it is not there.
  // Returns: ok, not_found, invalid_argument (no folder, or strangers may replace what is in it).
  static Result<LocalFolder> open(const std::string& path, bool create, Owner owner = Owner::any);

  // The one that TARN_LOCAL_DIR names, else /run/tarn for root and /tmp/tarn-UID for others, which
  // has to be theirs. Only a server makes a named one, which may be meant for another user; the
  // others are made by whoever comes first, so that a client need not come after its server.
  // Returns: as open.
  static Result<LocalFolder> open_default(bool is_server);
};

// What the two sides tell each other over the socket, beside the bells. Fixed size; numbers are
// little-endian as the machine's are, for both sides are on it.
struct LocalNote {
  enum class Type : uint32_t {
    bell = 0,     // look at the rings
    hello = 1,    // client: `text` is its address, `a` and `b` the versions that it speaks
    welcome = 2,  // server: `a` is the version, the area comes along
    refused = 3,  // server: `text` says why
    region = 4,   // memory of `b` bytes with the number `a`, which comes along
  };
  static constexpr uint32_t kMagic = 0x316c6e74;  // "tnl1"

  uint32_t magic = kMagic;
  Type type = Type::bell;
  uint64_t a = 0;
  uint64_t b = 0;
  std::array<char, 104> text{};
};
static_assert(sizeof(LocalNote) == 128);

LocalNote refused_note(const std::string& why);
std::string text_of(const LocalNote& note);

// A unix socket that keeps the borders of notes. Never blocks: bells and notes travel by calls that
// say so one by one, for the peer could change a mode of a shared description. Movable. One-thread.
class LocalSocket {
 public:
  // Listens under a new name in the folder; the name appears when it does.
  // Returns: ok, unavailable, invalid_argument (the folder's path is too long).
  struct Listening;
  static Result<Listening> listen(const LocalFolder& folder);
  // Returns: ok, unavailable (nobody listens there), invalid_argument (name).
  static Result<LocalSocket> connect(const LocalFolder& folder, const std::string& name);

  // `is_strangers`: others send there whatever they like, so that its end is left to another
  // thread.
  explicit LocalSocket(int fd, bool is_strangers = false)
      : x_fd(fd), x_is_strangers(is_strangers) {}
  LocalSocket(LocalSocket&& other) noexcept
      : x_fd(std::exchange(other.x_fd, -1)), x_is_strangers(other.x_is_strangers) {}
  LocalSocket& operator=(LocalSocket&& other) noexcept;
  ~LocalSocket() { close(); }

  int fd() const { return x_fd; }
  void close();

  // Returns: the next connection, not_found (there is none now), overloaded (this process has no
  // files to spare, and somebody waits).
  Result<LocalSocket> accept();

  // Hands the note, and `passed` unless it is -1, to the peer.
  // Returns: ok, overloaded (it reads too slowly), unavailable (it is gone).
  Status send(const LocalNote& note, int passed = -1);

  // The next note; `passed` is the file that came along and is the caller's, or -1.
  // Returns: ok, not_found (none now), unavailable (the peer is gone), invalid_argument (no note of
  // ours, or more than one file), overloaded (this process has no room for the file).
  Status receive(LocalNote& note, int& passed);

 private:
  int x_fd;
  bool x_is_strangers;
};

// The process that has connected a socket, which others may hold by now: readable when it has
// ended. Movable. One-thread.
class LocalProcess {
 public:
  // Holds nothing where the system cannot tell: before Linux 5.3, or from another container before
  // Linux 6.5.
  static LocalProcess behind(const LocalSocket& accepted);

  LocalProcess() = default;
  LocalProcess(LocalProcess&& other) noexcept : x_fd(std::exchange(other.x_fd, -1)) {}
  LocalProcess& operator=(LocalProcess&& other) noexcept {
    std::swap(x_fd, other.x_fd);
    return *this;
  }
  ~LocalProcess();

  int fd() const { return x_fd; }  // -1: holds nothing

 private:
  explicit LocalProcess(int fd) : x_fd(fd) {}
  int x_fd = -1;
};

struct LocalSocket::Listening {
  LocalSocket socket;
  std::string name;  // of the file in the folder
};

// Removes sockets from the folder that nobody listens at any more, and those that were never
// finished, if they are a minute old.
void sweep(const LocalFolder& folder);

}  // namespace tarn::fabric
