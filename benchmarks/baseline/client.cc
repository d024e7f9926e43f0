#include "benchmarks/baseline/client.h"

#include <ctime>

#include "common/base/check.h"
#include "common/block/checksum.h"

namespace tarn::baseline {
namespace {}  // namespace

Client::Client(Node& node, size_t pool_bytes, pid_t server)
    : x_node(node), x_pool(pool_bytes), x_server(server), x_requests(kInflightMax) {
  x_node.set_handlers([this](const Message& message) { return x_requests[message.id].memory; },
                      [this](const Message& message, uint64_t bytes) { finish(message, bytes); });
}

int64_t Client::cpu_ns() const {
  clockid_t clock{};
  const bool is_known = clock_getcpuclockid(x_server, &clock) == 0;
  return report::read_clock_ns(CLOCK_PROCESS_CPUTIME_ID) +
         (is_known ? report::read_clock_ns(clock) : 0);
}

Status Client::check(const Run& run) const {
  if (run.inflight == 0 || run.inflight > kInflightMax) {
    return invalid_argument("inflight: 1 to " + std::to_string(kInflightMax));
  }
  if (run.block_bytes == 0 || run.block_bytes > x_pool.size() / run.inflight) {
    return invalid_argument("block-bytes: so many do not fit into the memory of the client");
  }
  return Status::ok();
}

Status Client::prepare(const Run& run) {
  if (run.block_bytes == x_prepared_bytes) return Status::ok();
  x_prepared_bytes = 0;
  TARN_RETURN_IF_ERROR(x_node.send({.type = Type::prepare, .bytes = run.block_bytes}));
  while (x_prepared_bytes == 0 && !x_node.is_lost())
    x_node.turn(-1);
  return x_node.is_lost() ? unavailable("the server is gone") : Status::ok();
}

Result<report::Slice> Client::run(const Run& run) {
  TARN_RETURN_IF_ERROR(check(run));
  TARN_RETURN_IF_ERROR(prepare(run));
  x_run = run;
  x_slice = {};
  const int64_t cpu_before_ns = cpu_ns();
  const int64_t begin_ns = now_ns();
  x_end_ns = begin_ns + run.millis * 1'000'000;
  for (uint32_t id = 0; id < run.inflight; ++id)
    start(id);
  while (x_running > 0 && !x_node.is_lost() && x_failure.is_ok())
    x_node.turn(-1);
  TARN_RETURN_IF_ERROR(x_failure);
  if (x_node.is_lost()) return unavailable("the server is gone");
  x_slice.wall_ns = now_ns() - begin_ns;
  x_slice.cpu_ns = cpu_ns() - cpu_before_ns;
  return x_slice;
}

std::byte* Client::next_memory() {
  const uint64_t places = x_pool.size() / x_run.block_bytes;
  return x_pool.data() + x_next_memory++ % places * x_run.block_bytes;
}

void Client::start(uint32_t id) {
  Request& request = x_requests[id];
  TARN_CHECK(!request.is_running);
  request = {now_ns(), next_memory(), true};
  ++x_running;
  Message message{.type = x_run.is_put ? Type::put : Type::get,
                  .id = id,
                  .index = x_next_block++,
                  .bytes = x_run.block_bytes,
                  .is_checked = x_run.is_checked};
  std::span<const std::byte> payload;
  if (x_run.is_put) {
    payload = {request.memory, x_run.block_bytes};
    if (x_run.is_checked) message.crc32c = block::crc32c(0, payload.data(), payload.size());
  }
  const Status sent = x_node.send(message, payload);
  if (!sent.is_ok()) x_failure = sent;
}

bool Client::is_intact(const Message& answer, const std::byte* memory,
                       uint64_t payload_bytes) const {
  if (x_run.is_put) return answer.is_corrupt == 0;
  if (payload_bytes != x_run.block_bytes) return false;
  return !x_run.is_checked || block::crc32c(0, memory, payload_bytes) == answer.crc32c;
}

void Client::finish(const Message& answer, uint64_t payload_bytes) {
  if (answer.type == Type::prepared) {
    x_prepared_bytes = answer.bytes;
    return;
  }
  Request& request = x_requests[answer.id];
  TARN_CHECK(request.is_running && x_running > 0);
  const bool is_ok = is_intact(answer, request.memory, payload_bytes);
  const int64_t now = now_ns();
  request.is_running = false;
  --x_running;
  if (is_ok) {
    ++x_slice.blocks;
    x_slice.bytes += x_run.block_bytes;
    x_slice.latency.add(static_cast<uint64_t>(now - request.started_ns));
  } else {
    ++x_slice.errors;
  }
  if (now < x_end_ns) start(answer.id);
}

}  // namespace tarn::baseline
