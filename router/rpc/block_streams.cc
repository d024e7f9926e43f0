#include "router/rpc/block_streams.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/thread_name.h"

namespace tarn::router {

BlockStreams::BlockStreams(BlockStreamsOptions options)
    : x_options(std::move(options)), x_metrics(*x_options.registry) {
  TARN_CHECK(x_options.index != nullptr && x_options.config != nullptr);
  for (const index::StreamMark& mark : x_options.marks)
    x_marks[mark.server] = mark;
  x_thread = std::thread([this] { run(); });
  x_subscription = x_options.config->subscribe(
      [this](const cluster::ConfigSnapshot& config) { on_config(*config); });
}

BlockStreams::~BlockStreams() {
  close();
}

void BlockStreams::close() {
  x_subscription = {};
  {
    const MutexLock lock(x_mutex);
    if (x_stopping) return;
    x_stopping = true;
    for (const auto& [server, stream] : x_streams)
      stream->stop();
    x_changed.notify_all();
  }
  x_thread.join();
}

void BlockStreams::on_config(const ring::ClusterConfig& config) {
  std::map<ServerId, std::string> wanted;
  for (const ring::Member& member : config.members) {
    const bool serves =
        member.state == ring::MemberState::up || member.state == ring::MemberState::draining;
    if (serves) wanted[member.id] = member.control_endpoint;
  }
  const MutexLock lock(x_mutex);
  for (auto it = x_streams.begin(); it != x_streams.end();) {
    const auto found = wanted.find(it->first);
    const bool stays = found != wanted.end() && found->second == it->second->endpoint();
    if (stays) {
      ++it;
      continue;
    }
    it->second->retire();
    x_ended.push_back(std::move(it->second));
    it = x_streams.erase(it);
  }
  x_wanted = std::move(wanted);
  x_has_config = true;
  x_changed.notify_all();
}

StreamOrigin BlockStreams::origin_of(ServerId server, const std::string& endpoint) {
  StreamOrigin origin;
  origin.index = x_options.index;
  origin.metrics = &x_metrics;
  origin.tls = x_options.tls;
  origin.endpoint = endpoint;
  origin.mark.server = server;
  return origin;
}

// Starts the streams that are wanted and not there. Marks count for the first config only: who was
// not in it, or comes back later, begins anew.
void BlockStreams::start_missing() {
  const MutexLock lock(x_mutex);
  if (x_stopping || !x_has_config) return;
  for (const auto& [server, endpoint] : x_wanted) {
    if (x_streams.contains(server)) continue;
    StreamOrigin origin = origin_of(server, endpoint);
    if (const auto mark = x_marks.find(server); mark != x_marks.end()) {
      origin.mark = mark->second;
      x_marks.erase(mark);
    }
    x_streams[server] = std::make_unique<BlockStream>(std::move(origin));
  }
  for (const auto& [server, mark] : x_marks)
    x_options.index->retire(x_options.index->attach(server));
  x_marks.clear();
}

void BlockStreams::run() {
  set_thread_name("tarn-streams");
  while (true) {
    std::vector<std::unique_ptr<BlockStream>> ended;
    {
      const MutexLock lock(x_mutex);
      const auto has_work = [this]() TARN_REQUIRES(x_mutex) {
        if (x_stopping || !x_ended.empty()) return true;
        for (const auto& [server, endpoint] : x_wanted) {
          if (!x_streams.contains(server)) return true;
        }
        return false;
      };
      while (!has_work())
        x_changed.wait(x_mutex);
      ended.swap(x_ended);
      if (x_stopping) {
        for (auto& [server, stream] : x_streams)
          ended.push_back(std::move(stream));
        x_streams.clear();
        return;  // and joins them
      }
    }
    ended.clear();
    start_missing();
    x_options.index->sweep_retired();
  }
}

bool BlockStreams::is_synced() const {
  const MutexLock lock(x_mutex);
  if (!x_has_config) return false;
  for (const auto& [server, endpoint] : x_wanted) {
    const auto found = x_streams.find(server);
    if (found == x_streams.end() || !found->second->is_synced()) return false;
  }
  return true;
}

std::set<uint32_t> BlockStreams::synced_servers() const {
  const MutexLock lock(x_mutex);
  std::set<uint32_t> servers;
  for (const auto& [server, stream] : x_streams) {
    if (stream->is_synced()) servers.insert(server.value);
  }
  return servers;
}

void BlockStreams::doubt(std::span<const index::Doubt> doubts) {
  const MutexLock lock(x_mutex);
  for (const index::Doubt& each : doubts) {
    const auto found = x_streams.find(each.server);
    if (found != x_streams.end()) found->second->doubt(each);
  }
}

std::vector<index::StreamMark> BlockStreams::marks() const {
  const MutexLock lock(x_mutex);
  std::vector<index::StreamMark> marks;
  for (const auto& [server, stream] : x_streams) {
    const index::StreamMark mark = stream->mark();
    if (mark.incarnation.value != 0) marks.push_back(mark);
  }
  return marks;
}

}  // namespace tarn::router
