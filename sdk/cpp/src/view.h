#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "common/fabric/link_op.h"
#include "sdk/cpp/src/fork_guard.h"
#include "tarn/tarn.h"

namespace tarn::sdk {

class Core;

// Views that a client holds or asks for; one more is overloaded.
inline constexpr size_t kViewsMax = 4096;

// Counts the views of a client, and takes back what they have mapped. Thread-safe. Outlives them.
class ViewKeeper {
 public:
  // `give_back` has a release run on the io thread, and never blocks.
  using GiveBack = std::function<void(std::function<void()> release)>;
  explicit ViewKeeper(GiveBack give_back) : x_give_back(std::move(give_back)) {}

  size_t count() const { return x_count.load(std::memory_order_relaxed); }

 private:
  friend class ViewPin;
  bool take_place();
  void end(std::function<void()> release);

  const GiveBack x_give_back;
  const ForkGuard x_fork;
  std::atomic<size_t> x_count{0};
};

// One block of a get_views: a place for it from the call on, then its bytes, pinned where they lie
// or copied. Life: open (the caller's thread); make_room and settle (the io thread), before the
// transfer has ended; immutable and thread-safe from then on; its end ends the pin.
class ViewPin {
 public:
  // Null when the client has kViewsMax.
  static std::shared_ptr<ViewPin> open(ViewKeeper& keeper);
  ~ViewPin();
  ViewPin(const ViewPin&) = delete;
  ViewPin& operator=(const ViewPin&) = delete;

  // Memory of its own for a copy of so many bytes; none when there is no more.
  std::span<const fabric::MutableBytes> make_room(uint64_t bytes);
  // Takes over what a get with ok has brought: its view, or what lies in the room.
  void settle(fabric::GetTarget& got);

  fabric::Bytes bytes() const { return x_bytes; }
  bool is_mapped() const { return static_cast<bool>(x_release); }
  // Do the bytes have the CRC32C that their putter computed?
  bool is_intact() const;

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };

  explicit ViewPin(ViewKeeper& keeper) : x_keeper(keeper) {}

  ViewKeeper& x_keeper;
  std::unique_ptr<std::byte, Free> x_memory;
  fabric::MutableBytes x_room;
  fabric::Bytes x_bytes;
  uint32_t x_payload_crc = 0;
  std::function<void()> x_release;
};

}  // namespace tarn::sdk

namespace tarn {

// The pin ends before the client that it is of.
struct View::Impl {
  const std::shared_ptr<sdk::Core> core;
  const std::shared_ptr<const sdk::ViewPin> pin;
};

}  // namespace tarn
