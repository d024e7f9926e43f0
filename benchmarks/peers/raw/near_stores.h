#pragma once

#include <deque>
#include <memory>

#include "benchmarks/peers/raw/store.h"

namespace tarn::peers {

// A file for each value in a folder: what a plain file system does. Returns: the store;
// unavailable.
Result<std::unique_ptr<Store>> file_store(const std::string& folder);

// The limit of memory: values lie in a mapped memfd, a get is the fused checksum and copy out of
// it, a put the same into it. `bytes` are those of the memfd. Returns: the store; overloaded.
Result<std::unique_ptr<Store>> copy_store(size_t bytes);

}  // namespace tarn::peers
