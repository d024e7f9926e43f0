#pragma once

#include <memory>
#include <span>
#include <string>

#include "common/base/result.h"
#include "router/index/index.h"

namespace tarn::index_bench {

// A router's gRPC server on loopback with its Lookup service alone, over TLS, and one client of
// it. One-thread.
class MatchCalls {
 public:
  // The tenant asks. Certificates go to `folder`. Returns: ok, or why not.
  static Result<std::unique_ptr<MatchCalls>> open(const index::Index& index,
                                                  const std::string& tenant,
                                                  const std::string& folder);
  ~MatchCalls();

  // One Match by digests. Returns: how many were found, or what gRPC says.
  Result<uint32_t> match(const SpaceId& space, std::span<const uint64_t> digests);

 private:
  struct Parts;
  explicit MatchCalls(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> x_parts;
};

}  // namespace tarn::index_bench
