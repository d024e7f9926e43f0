#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "common/base/clock.h"

namespace tarn::sdk {

// Answers of one size class that are remembered, and that must be known before a get is hedged.
inline constexpr size_t kHedgeSamples = 128;
inline constexpr size_t kHedgeSamplesLeast = 32;
// Sooner than this no second server is asked, however fast the others were.
inline constexpr Nanos kHedgeLeast = std::chrono::milliseconds(1);
// Blocks that may be asked for twice in a row, saved up by those that were not.
inline constexpr double kHedgesSaved = 32;

// When a get asks a second server, too: once the first has been silent for longer than 95 in 100 of
// this client's answers of that size took to come, and only for a fraction of all blocks, so that
// servers that are slow because they are busy get little more to do. Taken over the last
// kHedgeSamples answers of each kind, which differ by a power of two of bytes. One-thread (the io
// loop's), but for the counters.
class Hedges {
 public:
  struct Counters {
    std::atomic<uint64_t> asked_twice{0};  // blocks
    std::atomic<uint64_t> won{0};          // blocks that came from the second server
  };

  // Before which answer a server was silent.
  struct Awaited {
    uint64_t bytes = 0;    // of the block
    bool is_first = true;  // of an operation's blocks; the others follow it sooner
  };

  // `fraction` of the blocks that are asked for; 0: none is asked for twice.
  explicit Hedges(double fraction) : x_fraction(fraction) {}

  bool is_on() const { return x_fraction > 0; }

  void on_asked(size_t blocks);
  // A block came after so long a silence of its server's.
  void on_answer(Awaited awaited, Nanos silence);
  void on_won() { x_counters.won.fetch_add(1, std::memory_order_relaxed); }

  // The longest silence before a block that is no reason to ask another server, never shorter than
  // kHedgeLeast; Nanos::max() while too little is known, or nothing is hedged.
  Nanos patience(Awaited awaited) const;
  // Whether one more block may be asked for twice.
  bool take();

  const Counters& counters() const { return x_counters; }

 private:
  struct Pace {
    std::array<uint32_t, kHedgeSamples> silences_us{};
    size_t count = 0;  // ever
    Nanos p95 = Nanos::max();
  };
  static constexpr size_t kSizes = 28;  // up to 128 MiB

  static size_t pace_of(Awaited awaited);

  const double x_fraction;
  double x_saved = 0;
  std::array<Pace, 2 * kSizes> x_paces;
  Counters x_counters;
};

}  // namespace tarn::sdk
