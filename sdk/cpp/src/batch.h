#pragma once

#include <memory>
#include <span>

#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/flight.h"
#include "tarn/tarn.h"

namespace tarn::sdk {

// Blocks of one call; more are invalid_argument. The wire's own limits are below: a larger batch
// travels as several messages.
inline constexpr size_t kCallBlocksMax = 1 << 16;

// Turn what a caller hands over into a flight: checked, with checksums (on the caller's thread, so
// that the io thread never stalls on them) and with the buffers in use held. An item that is not
// valid gets its outcome here, names the field and stays behind.
std::shared_ptr<Flight> make_put(Core& core, const std::shared_ptr<SpaceState>& space,
                                 std::span<const PutItem> items, const CallOptions& options);
std::shared_ptr<Flight> make_get(Core& core, const std::shared_ptr<SpaceState>& space,
                                 std::span<const GetItem> items, const CallOptions& options);

// The places for the views are made here, so that a client's limit holds for what is in flight too.
std::shared_ptr<Flight> make_views(Core& core, const std::shared_ptr<SpaceState>& space,
                                   std::span<const ViewItem> items, const CallOptions& options);

// Launches the flight and gives every block its place. What the space does not know is asked of a
// router, on a background thread, while the flight waits: its deadline and a cancel end it even
// before its question is asked, which then is not. Never blocks.
void place_and_launch(Core& core, std::shared_ptr<Flight> flight);

}  // namespace tarn::sdk
