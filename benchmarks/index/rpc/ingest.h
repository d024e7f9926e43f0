#pragma once

#include <memory>
#include <span>
#include <string>

#include "router/index/index.h"

namespace tarn::index_bench {

// A message of a server's event stream, in bytes.
std::string message_of(std::span<const index::BlockEvent> events);

// What a router does with such messages: decodes them and puts the events into its index.
// One-thread.
class Ingest {
 public:
  Ingest(index::Index& index, index::Handle handle);
  ~Ingest();
  Ingest(const Ingest&) = delete;
  Ingest& operator=(const Ingest&) = delete;

  // False for what is no message.
  bool take(const std::string& message);

 private:
  struct Message;  // kept, as the stream keeps its own

  index::Index& x_index;
  const index::Handle x_handle;
  std::unique_ptr<Message> x_message;
};

}  // namespace tarn::index_bench
