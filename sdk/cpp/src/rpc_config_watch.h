#pragma once

#include <functional>
#include <memory>
#include <random>
#include <thread>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/mutex.h"
#include "common/ring/config.h"

namespace tarn::sdk {

class RouterChannels;

// How long one stream lives, give or take a quarter: then it moves to the router that is asked
// first, so that a router that was stopped does not keep it for ever.
inline constexpr Nanos kWatchStreamMost = std::chrono::seconds(30);

// The thread "tarn-config" of a client: one WatchConfig stream to one router, so that a new epoch
// is known at once and not by the failures that follow it. After a loss it goes to the next router,
// with pauses that grow and differ from client to client. Routers that know no such stream leave
// the client with GetConfig. Thread-safe. Life: construct, start, stop.
class ConfigWatch {
 public:
  struct Options {
    RouterChannels* channels = nullptr;
    // Of the newest config that the client has.
    std::function<Epoch()> known_epoch;
    std::function<void(ring::ClusterConfig)> on_config;
    Nanos stream_most = kWatchStreamMost;
  };

  explicit ConfigWatch(Options options);
  ~ConfigWatch();

  void start();
  // Ends the stream, and waits for the thread. Idempotent.
  void stop();

 private:
  struct Stream;

  void run();
  // Follows one stream until it ends. True when that was its age and no loss.
  bool follow(size_t router);
  bool begin(Stream& stream);
  void end();
  bool pause(Nanos time);
  Nanos about(Nanos time);

  const Options x_options;
  std::mt19937_64 x_random;
  std::thread x_thread;
  Mutex x_mutex;
  CondVar x_changed;
  bool x_stopped TARN_GUARDED_BY(x_mutex) = false;
  Stream* x_stream TARN_GUARDED_BY(x_mutex) = nullptr;
};

}  // namespace tarn::sdk
