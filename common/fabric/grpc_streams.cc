#include "common/fabric/grpc_streams.h"

#include "common/base/check.h"

namespace tarn::fabric {

Status GrpcStreams::add_lane(uint32_t lane, std::shared_ptr<GrpcInbox> inbox) {
  const MutexLock lock(x_mutex);
  if (!x_lanes.emplace(lane, std::move(inbox)).second) {
    return invalid_argument("lane " + std::to_string(lane) + " has a gRPC port already");
  }
  return Status::ok();
}

void GrpcStreams::remove_lane(uint32_t lane) {
  {
    const MutexLock lock(x_mutex);
    TARN_CHECK(x_lanes.erase(lane) == 1);
  }
  close_all();
}

Result<std::shared_ptr<GrpcStream>> GrpcStreams::add_stream(const std::string& token,
                                                            uint64_t ordinal) {
  std::weak_ptr<GrpcStreams> self = weak_from_this();
  GrpcStream::Roles roles;
  roles.inbox_of = [self](uint32_t lane) {
    const auto streams = self.lock();
    return streams == nullptr ? nullptr : streams->inbox_of(lane);
  };
  roles.ended = [self](const GrpcEvent& lost) {
    if (const auto streams = self.lock()) streams->ended(lost);
  };
  auto stream = std::make_shared<GrpcStream>(token, std::move(roles), ordinal);
  std::shared_ptr<GrpcStream> replaced;
  {
    const MutexLock lock(x_mutex);
    const auto found = x_streams.find(token);
    if (found != x_streams.end() && ordinal != 0 && found->second->ordinal() > ordinal) {
      return conflict("the client has opened a newer stream");
    }
    if (found == x_streams.end() && x_streams.size() == kGrpcStreamsMax) {
      return overloaded("too many streams");
    }
    replaced = std::exchange(x_streams[token], stream);
  }
  // The client came back before its broken connection was noticed.
  if (replaced != nullptr) replaced->break_off("the client opened a newer stream");
  for (const auto& inbox : inboxes())
    inbox->post({GrpcEvent::What::opened, stream});
  return stream;
}

std::shared_ptr<GrpcStream> GrpcStreams::find(const std::string& token) {
  const MutexLock lock(x_mutex);
  const auto found = x_streams.find(token);
  return found == x_streams.end() ? nullptr : found->second;
}

void GrpcStreams::close_all() {
  std::vector<std::shared_ptr<GrpcStream>> all;
  {
    const MutexLock lock(x_mutex);
    for (const auto& [token, stream] : x_streams)
      all.push_back(stream);
  }
  for (const auto& stream : all)
    stream->close();
}

std::shared_ptr<GrpcInbox> GrpcStreams::inbox_of(uint32_t lane) {
  const MutexLock lock(x_mutex);
  const auto found = x_lanes.find(lane);
  return found == x_lanes.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<GrpcInbox>> GrpcStreams::inboxes() {
  const MutexLock lock(x_mutex);
  std::vector<std::shared_ptr<GrpcInbox>> all;
  for (const auto& [lane, inbox] : x_lanes)
    all.push_back(inbox);
  return all;
}

void GrpcStreams::ended(const GrpcEvent& lost) {
  {
    const MutexLock lock(x_mutex);
    const auto found = x_streams.find(lost.stream->token());
    if (found != x_streams.end() && found->second == lost.stream) x_streams.erase(found);
  }
  for (const auto& inbox : inboxes())
    inbox->post(lost);
}

}  // namespace tarn::fabric
