#pragma once

#include <cstddef>

namespace tarn::fabric {

// Whoever closes the last copy of a file waits for its maker's pleasure if it is a TCP socket that
// lingers, or lies in a file system of the maker's (FUSE); and whoever reaches a server's socket
// passes what it likes. Who unmaps memory last gives back its pages, 60 to 200 ms per GiB. So
// threads that end with their work do both, not those of a port.

// Threads at a time, and what waits for one. Past the second the caller does it, and may wait.
inline constexpr size_t kClosersMax = 8;
inline constexpr size_t kClosingMax = 4096;
// With so many unclosed a server takes no new clients.
inline constexpr size_t kClosingMany = 64;

// Closes a file that a peer has passed: a memfd at once. Thread-safe.
void close_passed(int fd);
// Closes a file that is slow to close, or may hold such, as a socket its unread messages'.
// Thread-safe.
void close_elsewhere(int fd);
// Unmaps memory that a peer has passed: a little at once. Thread-safe.
void unmap_passed(const void* base, size_t bytes);
// What is not closed or unmapped yet. Thread-safe.
size_t files_to_close();

}  // namespace tarn::fabric
