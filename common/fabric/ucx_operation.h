#pragma once

#include <ucp/api/ucp.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "common/base/check.h"
#include "common/fabric/fabric.h"
#include "common/fabric/ucx_staging.h"

namespace tarn::fabric {

class UcxWorker;
struct UcxPeer;

// One send or receive that UCX holds pointers into. From a pool of its worker, from the call until
// UCX's own callback, and only then free again.
struct UcxOperation {
  UcxWorker* worker = nullptr;
  UcxPeer* peer = nullptr;
  SendDone sent;
  ReceiveDone received;
  // Of a send: UCX reads the header until the send ends, the caller's is gone by then.
  std::byte* header = nullptr;
  size_t header_bytes = 0;
  std::vector<Bytes> payload;  // of a send that waits
  // Of a receive: where the bytes go, for their CRC32C. Keeps its capacity between uses.
  std::vector<MutableBytes> into;
  std::vector<ucp_dt_iov_t> iov;
  UcxStaging::Buffer staging;  // where it arrives in one piece first
  bool in_use = false;
  bool quarantined = false;
};

// A fixed number of operations, all made at once. One-thread.
class UcxOperationPool {
 public:
  // `header_bytes` of memory for each; pages of it that are never used cost nothing.
  UcxOperationPool(size_t count, size_t header_bytes)
      : x_headers(std::make_unique_for_overwrite<std::byte[]>(count * header_bytes)),
        x_operations(count) {
    x_free.reserve(count);
    for (size_t i = count; i-- > 0;) {
      x_operations[i].header = x_headers.get() + i * header_bytes;
      x_free.push_back(&x_operations[i]);
    }
  }

  // Null when all are in flight.
  UcxOperation* take() {
    if (x_free.empty()) return nullptr;
    UcxOperation* const operation = x_free.back();
    x_free.pop_back();
    TARN_CHECK(!operation->in_use);
    operation->in_use = true;
    operation->quarantined = false;
    return operation;
  }

  void give_back(UcxOperation* operation) {
    TARN_CHECK(operation->in_use && operation->staging.memory == nullptr);
    operation->in_use = false;
    operation->peer = nullptr;
    operation->sent = nullptr;
    operation->received = nullptr;
    operation->payload.clear();
    operation->into.clear();
    operation->iov.clear();
    x_free.push_back(operation);
  }

  size_t in_flight() const { return x_operations.size() - x_free.size(); }

  // Marks the operations of `peer` that are still in flight; returns how many were not yet marked.
  size_t quarantine(const UcxPeer* peer) {
    size_t count = 0;
    for (UcxOperation& each : x_operations) {
      if (!each.in_use || each.peer != peer || each.quarantined) continue;
      each.quarantined = true;
      ++count;
    }
    return count;
  }

 private:
  std::unique_ptr<std::byte[]> x_headers;
  std::vector<UcxOperation> x_operations;
  std::vector<UcxOperation*> x_free;
};

}  // namespace tarn::fabric
