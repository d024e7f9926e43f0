#pragma once

#include <map>
#include <memory>
#include <set>
#include <span>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "router/cluster/config_view.h"
#include "router/rpc/block_stream.h"

namespace tarn::router {

struct BlockStreamsOptions {
  index::Index* index = nullptr;
  cluster::ConfigView* config = nullptr;
  metrics::Registry* registry = nullptr;
  rpc::TlsMaterial tls;
  std::vector<index::StreamMark> marks;  // of the snapshot that the index was loaded from
};

// One BlockStream for each member that is up or draining. A member that is neither any more holds
// nothing, from the moment that the config says so; its rows are cleaned in the background.
// Thread-safe. Life: from construction (needs no config yet) to destruction, which ends all
// streams; the options' parts outlive it. One thread, "tarn-streams", starts and ends streams.
// Limit: kMembersMax servers, three threads at most for each.
class BlockStreams {
 public:
  explicit BlockStreams(BlockStreamsOptions options);
  ~BlockStreams();
  BlockStreams(const BlockStreams&) = delete;
  BlockStreams& operator=(const BlockStreams&) = delete;

  // All members that are up or draining are synced; false without a config.
  bool is_synced() const;
  std::set<uint32_t> synced_servers() const;
  // What the index stands for, of each synced server. To be asked before the index is copied.
  std::vector<index::StreamMark> marks() const;
  // Has servers asked what they hold of extents that somebody doubts, soon. Never blocks for long.
  void doubt(std::span<const index::Doubt> doubts);
  // Ends the streams; the rows stay as they are.
  void close();

 private:
  void on_config(const ring::ClusterConfig& config);
  void run();
  void start_missing();
  StreamOrigin origin_of(ServerId server, const std::string& endpoint);

  const BlockStreamsOptions x_options;
  StreamMetrics x_metrics;

  mutable Mutex x_mutex;
  CondVar x_changed;
  bool x_stopping TARN_GUARDED_BY(x_mutex) = false;
  bool x_has_config TARN_GUARDED_BY(x_mutex) = false;
  std::map<ServerId, std::string> x_wanted TARN_GUARDED_BY(x_mutex);  // to endpoints
  std::map<ServerId, std::unique_ptr<BlockStream>> x_streams TARN_GUARDED_BY(x_mutex);
  std::vector<std::unique_ptr<BlockStream>> x_ended TARN_GUARDED_BY(x_mutex);
  std::map<ServerId, index::StreamMark> x_marks TARN_GUARDED_BY(x_mutex);  // not taken up yet

  std::thread x_thread;
  cluster::ConfigView::Subscription x_subscription;
};

}  // namespace tarn::router
