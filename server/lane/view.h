#pragma once

#include <memory>

#include "common/base/ids.h"
#include "common/ring/config.h"
#include "common/ring/ring.h"

namespace tarn::lane {

// The cluster in one epoch, as one server sees it. Immutable, shared by all lanes and threads.
struct ClusterView {
  ring::ClusterConfig config;
  ring::Ring ring;
  ServerId self;  // kNoServer while the config does not know this server
  // Kept from an earlier run of the server: whatever a router says is newer.
  bool is_remembered = false;

  Epoch epoch() const { return config.epoch; }
};

using ClusterViewPtr = std::shared_ptr<const ClusterView>;

// Draws the ring. `self_name` names this server. Returns: the view, invalid_argument (config).
Result<ClusterViewPtr> make_view(ring::ClusterConfig config, std::string_view self_name,
                                 bool is_remembered = false);

}  // namespace tarn::lane
