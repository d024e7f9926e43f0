#include "benchmarks/copy/pool.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "common/base/check.h"

namespace tarn::copying {
namespace {

Status failed(const std::string& what) {
  return overloaded(what + ": " + std::strerror(errno));
}

// Distinct bytes, so that a block in the wrong place has another checksum.
void fill(std::span<std::byte> bytes) {
  uint64_t word = 0;
  for (size_t at = 0; at + sizeof(word) <= bytes.size(); at += sizeof(word)) {
    word = (word + at + 1) * 0x9e3779b97f4a7c15;
    std::memcpy(bytes.data() + at, &word, sizeof(word));
  }
}

// A message of one byte that brings one fd. Stays where it is.
struct FdMessage {
  FdMessage() {
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = room.data();
    message.msg_controllen = room.size();
  }
  FdMessage(const FdMessage&) = delete;

  char mark = 'p';
  iovec part{&mark, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> room{};
  msghdr message{};
};

bool pass(int socket, int fd) {
  FdMessage out;
  cmsghdr* const header = CMSG_FIRSTHDR(&out.message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  return sendmsg(socket, &out.message, MSG_NOSIGNAL) == 1;
}

}  // namespace

Result<Mapping> Mapping::anonymous(size_t bytes) {
  void* const data =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return failed("mmap");
  madvise(data, bytes, MADV_HUGEPAGE);
  std::memset(data, 1, bytes);
  return Mapping({static_cast<std::byte*>(data), bytes});
}

Result<Mapping> Mapping::shared(int memfd, size_t bytes, bool is_writable) {
  const int protection = PROT_READ | (is_writable ? PROT_WRITE : 0);
  void* const data = mmap(nullptr, bytes, protection, MAP_SHARED | MAP_POPULATE, memfd, 0);
  if (data == MAP_FAILED) return failed("mmap of a memfd");
  return Mapping({static_cast<std::byte*>(data), bytes});
}

Mapping::Mapping(Mapping&& other) noexcept : x_bytes(std::exchange(other.x_bytes, {})) {}

Mapping::~Mapping() {
  if (!x_bytes.empty()) TARN_CHECK(munmap(x_bytes.data(), x_bytes.size()) == 0);
}

Status own_pool(int socket, size_t bytes) {
  const int memfd = memfd_create("tarn-bench-copy", MFD_CLOEXEC);
  if (memfd < 0) return failed("memfd_create");
  if (ftruncate(memfd, static_cast<off_t>(bytes)) != 0) return failed("ftruncate");
  TARN_ASSIGN_OR_RETURN(const Mapping mapping, Mapping::shared(memfd, bytes, true));
  fill(mapping.bytes());
  if (!pass(socket, memfd)) return failed("sendmsg");
  char end = 0;
  while (read(socket, &end, 1) < 0 && errno == EINTR) {
  }
  return Status::ok();
}

Result<int> take_pool(int socket) {
  const Status gone = unavailable("the process that owns the memory is gone");
  FdMessage in;
  if (recvmsg(socket, &in.message, MSG_CMSG_CLOEXEC) != 1) return gone;
  const cmsghdr* const header = CMSG_FIRSTHDR(&in.message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return gone;
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
  return fd;
}

}  // namespace tarn::copying
