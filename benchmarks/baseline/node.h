#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "benchmarks/baseline/message.h"
#include "common/base/result.h"
#include "common/fabric/ucx_context.h"

struct ucp_worker;
struct ucp_ep;

namespace tarn::baseline {

struct NodeOptions {
  fabric::Kind kind = fabric::Kind::ucx;
  std::string device = "lo";
  int64_t spin_us = 50;
};

// Messages of one side that may be on their way; the client's `inflight` stays below a quarter.
inline constexpr size_t kMessagesMax = 1024;
inline constexpr size_t kInflightMax = kMessagesMax / 4;

// Memory of the process in huge pages where there are some, touched.
class Arena {
 public:
  explicit Arena(size_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::byte* data() const { return x_data; }
  size_t size() const { return x_size; }

 private:
  std::byte* x_data = nullptr;
  size_t x_size = 0;
};

// One process's end of the raw UCX connection: what is left when nothing of Tarn stands above UCX,
// with Tarn's own context (transport, device, segments). One-thread. Life: open, set handlers,
// connect, turn..., destroy.
class Node {
 public:
  // A message has come, and its payload lies where Place said.
  using OnMessage = std::function<void(const Message& message, uint64_t payload_bytes)>;
  // The memory that the message's payload goes to; asked before the payload moves.
  using Place = std::function<std::byte*(const Message& message)>;

  static Result<std::unique_ptr<Node>> open(const NodeOptions& options);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  void set_handlers(Place place, OnMessage on_message);
  const std::string& address() const { return x_address; }
  Status connect(const std::string& peer_address);
  Status register_memory(const Arena& arena);

  // The payload is read until the peer has answered.
  Status send(const Message& message, std::span<const std::byte> payload = {});

  // One turn of the thread: does what is ready; after spin_us without work it sleeps until there is
  // some, or until `also_fd` (-1: none) is readable. Returns false when also_fd is.
  bool turn(int also_fd);

  bool is_lost() const { return x_is_lost; }

 private:
  struct Receive {
    Node* node = nullptr;
    Message message;
    uint64_t bytes = 0;
  };

  explicit Node(const NodeOptions& options) : x_options(options), x_out(kMessagesMax) {}
  Status start();
  Status learn_address();
  void on_active_message(const void* header, void* data, size_t bytes, uint64_t attributes);
  void finish(Receive* receive, bool is_ok);
  unsigned progress();

  const NodeOptions x_options;
  std::shared_ptr<fabric::UcxContext> x_context;
  ucp_worker* x_worker = nullptr;
  ucp_ep* x_endpoint = nullptr;
  std::string x_address;
  int x_event_fd = -1;
  Place x_place;
  OnMessage x_on_message;
  std::vector<Message> x_out;  // headers that UCX reads, used in turn
  size_t x_next_out = 0;
  std::vector<std::unique_ptr<Receive>> x_receives;
  std::vector<Receive*> x_free;
  std::vector<Receive> x_arrived;
  int64_t x_last_work_ns = 0;
  bool x_is_lost = false;
};

// Monotonic.
int64_t now_ns();

}  // namespace tarn::baseline
