#pragma once

#include <memory>
#include <vector>

#include "benchmarks/baseline/node.h"

namespace tarn::baseline {

// The process that keeps the blocks: a rotating set larger than any cache. Its checksums of gets
// are made beforehand, those of puts verified on arrival, as a storage server of Tarn does.
// One-thread.
class Server {
 public:
  Server(Node& node, size_t pool_bytes);

  // Until `control_fd` is readable, which is how the client's process says good-bye.
  Status serve(int control_fd);

 private:
  void prepare(uint64_t block_bytes);
  void answer(const Message& request, uint64_t payload_bytes);
  std::byte* block(uint64_t index, uint64_t block_bytes) const;

  Node& x_node;
  Arena x_pool;
  uint64_t x_block_bytes = 0;
  std::vector<uint32_t> x_checksums;
  Status x_failure;
};

}  // namespace tarn::baseline
