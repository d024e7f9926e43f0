#include "benchmarks/baseline/server.h"

#include <cstring>
#include <random>

#include "common/base/check.h"
#include "common/block/checksum.h"

namespace tarn::baseline {

Server::Server(Node& node, size_t pool_bytes) : x_node(node), x_pool(pool_bytes) {
  std::mt19937_64 random(1);
  for (size_t at = 0; at + 8 <= x_pool.size(); at += 8) {
    const uint64_t word = random();
    std::memcpy(x_pool.data() + at, &word, sizeof(word));
  }
  x_node.set_handlers(
      [this](const Message& message) { return block(message.index, message.bytes); },
      [this](const Message& message, uint64_t bytes) { answer(message, bytes); });
}

Status Server::serve(int control_fd) {
  TARN_RETURN_IF_ERROR(x_node.register_memory(x_pool));
  while (x_node.turn(control_fd) && x_failure.is_ok() && !x_node.is_lost()) {
  }
  return x_failure;
}

std::byte* Server::block(uint64_t index, uint64_t block_bytes) const {
  const uint64_t blocks = x_pool.size() / block_bytes;
  TARN_CHECK(blocks > 0);
  return x_pool.data() + index % blocks * block_bytes;
}

void Server::prepare(uint64_t block_bytes) {
  x_block_bytes = block_bytes;
  x_checksums.resize(x_pool.size() / block_bytes);
  for (size_t i = 0; i < x_checksums.size(); ++i)
    x_checksums[i] = block::crc32c(0, block(i, block_bytes), block_bytes);
}

void Server::answer(const Message& request, uint64_t payload_bytes) {
  Message reply = request;
  std::span<const std::byte> payload;
  if (request.type == Type::prepare) {
    prepare(request.bytes);
    reply.type = Type::prepared;
  } else if (request.type == Type::get) {
    TARN_CHECK(request.bytes == x_block_bytes);
    reply.type = Type::block;
    reply.crc32c = x_checksums[request.index % x_checksums.size()];
    payload = {block(request.index, request.bytes), request.bytes};
  } else {
    TARN_CHECK(request.type == Type::put && payload_bytes == request.bytes);
    reply.type = Type::kept;
    const std::byte* const kept = block(request.index, request.bytes);
    reply.is_corrupt =
        request.is_checked != 0 && block::crc32c(0, kept, payload_bytes) != request.crc32c;
  }
  const Status sent = x_node.send(reply, payload);
  if (!sent.is_ok()) x_failure = sent;
}

}  // namespace tarn::baseline
