#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "tarn/tarn.h"

namespace tarn::sdk {

class RouterChannels;

// What one beat says.
struct Beat {
  SpaceId space;
  WorkerSpec spec;
  uint32_t running = 0;
  uint32_t queued = 0;
  bool draining = false;
};

struct BeatAnswer {
  Millis interval{1000};
  bool drain = false;
};

// One registration stream to one router. `send` by one thread, `cancel` by any. Life: open,
// send..., finish; a stream that ends is the worker's end at the router.
class BeatStream {
 public:
  // To the router that is asked first; `router` says which. Never fails: an unreachable one shows
  // with the first beat.
  static std::unique_ptr<BeatStream> open(RouterChannels& channels);
  ~BeatStream();

  // Says the beat and waits for its answer. Returns: ok, unavailable, or what the router refuses it
  // with; after which only finish() is left.
  Result<BeatAnswer> send(const Beat& beat);
  // Ends a send() that waits, and all that follow.
  void cancel();
  // Says that there will be no more, so that the router need not wait for silence.
  void finish();

  size_t router() const { return x_router; }

 private:
  struct Stream;
  BeatStream(std::unique_ptr<Stream> stream, size_t router);

  std::unique_ptr<Stream> x_stream;
  size_t x_router;
};

}  // namespace tarn::sdk
