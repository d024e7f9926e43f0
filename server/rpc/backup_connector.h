#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "common/auth/identity.h"
#include "common/base/mutex.h"
#include "common/rpc/credentials.h"
#include "server/lane/lane.h"
#include "server/rpc/connections.h"

namespace tarn::server {

struct BackupConnectorOptions {
  auth::Identity self;
  rpc::TlsMaterial material;
  FabricTerms terms;
  const Clock* clock = &system_clock();
};

// Connects this server's lanes to other servers for replication: makes a ticket under the config's
// key and calls the other's StorageControl.Connect, on a thread of its own. Thread-safe. Life:
// open, set_view, use, close before the lanes are closed, destroy after. Limit: kWaitingMax
// connections wait to be made.
class BackupConnector {
 public:
  static constexpr size_t kWaitingMax = 1024;

  explicit BackupConnector(BackupConnectorOptions options);
  ~BackupConnector() { close(); }
  BackupConnector(const BackupConnector&) = delete;
  BackupConnector& operator=(const BackupConnector&) = delete;

  void set_view(lane::ClusterViewPtr view);

  // What a lane calls; `lane` gives the lane by then, which is made after this.
  lane::WireUp wire_up_for(std::function<lane::Lane*()> lane);

  void close();

 private:
  using Done = std::function<void(Result<lane::BackupWiring>)>;
  struct Job {
    lane::Lane* lane = nullptr;
    ServerId to;
    Done done;
  };

  void run();
  void submit(Job job);
  Result<lane::BackupWiring> connect(const Job& job, const lane::ClusterView& view);

  const BackupConnectorOptions x_options;
  Mutex x_mutex;
  CondVar x_wake;
  std::deque<Job> x_jobs TARN_GUARDED_BY(x_mutex);
  lane::ClusterViewPtr x_view TARN_GUARDED_BY(x_mutex);
  bool x_stopping TARN_GUARDED_BY(x_mutex) = false;
  std::thread x_thread;
};

}  // namespace tarn::server
