#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/mutex.h"
#include "common/fabric/grpc_stream.h"

namespace tarn::fabric {

// Streams of one server; one more is refused.
inline constexpr size_t kGrpcStreamsMax = 4096;

// The streams and lanes of a server's bulk service: where the two find each other. Thread-safe.
// Shared by the service and the lanes' ports. Invariant: a token names the newest stream that
// showed it.
class GrpcStreams : public std::enable_shared_from_this<GrpcStreams> {
 public:
  // Returns: ok, invalid_argument (the lane is there already).
  Status add_lane(uint32_t lane, std::shared_ptr<GrpcInbox> inbox);
  // Ends all streams: what they have for the lane would hold up the other lanes.
  void remove_lane(uint32_t lane);

  // A new stream that showed `token`, the client's `ordinal`-th; 0: unknown. Returns: the stream;
  // overloaded (there are too many); conflict (a newer one of that client's is there already).
  Result<std::shared_ptr<GrpcStream>> add_stream(const std::string& token, uint64_t ordinal);
  std::shared_ptr<GrpcStream> find(const std::string& token);
  void close_all();

 private:
  std::shared_ptr<GrpcInbox> inbox_of(uint32_t lane);
  void ended(const GrpcEvent& lost);
  std::vector<std::shared_ptr<GrpcInbox>> inboxes();

  Mutex x_mutex;
  std::map<uint32_t, std::shared_ptr<GrpcInbox>> x_lanes TARN_GUARDED_BY(x_mutex);
  // By token.
  std::unordered_map<std::string, std::shared_ptr<GrpcStream>> x_streams TARN_GUARDED_BY(x_mutex);
};

}  // namespace tarn::fabric
