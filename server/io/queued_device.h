#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/units.h"
#include "common/fabric/event.h"
#include "server/io/block_device.h"
#include "server/io/io_operation.h"
#include "server/io/io_shares.h"

namespace tarn::io {

// How much of a drive is used at once. The defaults are for a drive that a few megabytes in flight
// saturate.
struct DeviceLimits {
  uint32_t operations_max = 4096;  // taken at once; more are overloaded
  uint32_t depth = 32;             // pieces in flight
  uint64_t depth_bytes = 8 * kMiB;
  // Writes in flight while nobody reads, and from the first read until 20 ms after the last: what a
  // read may find ahead of itself in the drive.
  uint64_t write_bytes_alone = 4 * kMiB;
  uint64_t write_bytes_beside_reads = kMiB;
  uint64_t write_piece_bytes = kMiB;
  uint64_t read_piece_bytes = 4 * kMiB;
  uint64_t discard_piece_bytes = 32 * kMiB;
  PerQueue<uint32_t> weights = {8, 3, 1};  // read, destage, reclaim
};

// Returns: ok, invalid_argument (zero, not aligned, a piece that is larger than what may fly).
Status check_limits(const DeviceLimits& limits);

struct QueuedDeviceOptions {
  std::string drive;  // its name in messages
  uint64_t capacity_bytes = 0;
  DeviceLimits limits;
  const Clock* clock = &system_clock();
};

// What all devices share: checks, queues, turns, pieces, deadlines, and the rule that nothing is
// written after a failed flush. How pieces reach the drive is for those who derive from it; they
// call close() first thing in their destructor. One-thread.
class QueuedDevice : public BlockDevice {
 public:
  uint64_t capacity_bytes() const final { return x_options.capacity_bytes; }
  Status read(uint64_t offset, std::span<std::byte> into, IoOptions options, IoDone done) final;
  Status write(uint64_t offset, std::span<const std::byte> from, IoOptions options,
               IoDone done) final;
  Status flush(IoOptions options, IoDone done) final;
  Status discard(uint64_t offset, uint64_t bytes, IoOptions options, IoDone done) final;
  size_t poll() final;
  int event_fd() const final { return x_event.fd(); }
  Instant next_deadline() const final { return x_next_deadline; }
  DeviceHealth health() const final;
  bool is_idle() const final { return x_free.size() == x_operations.size(); }

 protected:
  // Precondition: check_limits(options.limits).
  QueuedDevice(QueuedDeviceOptions options, fabric::Event event);

  // Ends what waits, as cancelled, and lets the drive end the rest for a second.
  void close();

  // A piece has ended: bytes done, or -errno. Called from collect() only.
  void ended(uint32_t slot, int64_t result);

  const fabric::Event& event() const { return x_event; }
  const QueuedDeviceOptions& options() const { return x_options; }
  size_t pieces_in_flight() const { return x_pieces.size() - x_free_pieces.size(); }

 private:
  // Hands a piece to the drive, at submit() at the latest; ended() follows.
  virtual void start(const IoPiece& piece) = 0;
  virtual void submit() = 0;
  // Calls ended() for each piece that has, and clears the event before it looks.
  virtual void collect() = 0;

  Status check(const IoOperation& wanted) const;
  Status take(IoOperation wanted);
  void begin_all();
  void begin_piece(uint32_t index);
  void begin_flush();
  void put_in_flight(IoPiece piece);
  bool goes_on(IoPiece& piece, int64_t result);
  void account(const IoPiece& piece, bool begins);
  void finish_piece(const IoPiece& piece, int error);
  void finish_flush(const Status& outcome);
  void finish(uint32_t index);
  void write_has_ended(uint64_t sequence);
  void stop_writing(const Status& why);
  void tell_late();
  void tell_late(uint32_t index);
  void drop_rest(uint32_t index);
  void cancel_waiting();
  void keep_for_ever();

  bool has_rest(const IoOperation& operation) const;
  uint64_t next_piece_bytes(const IoOperation& operation) const;
  bool is_held_back(const IoOperation& operation) const;
  bool has_room(const IoOperation& operation) const;
  bool is_reading() const;
  IoList& list_of(const IoOperation& operation);

  const QueuedDeviceOptions x_options;
  const fabric::Event x_event;
  std::vector<IoOperation> x_operations;
  std::vector<uint32_t> x_free;
  std::vector<IoPiece> x_pieces;
  std::vector<uint32_t> x_free_pieces;
  PerQueue<IoList> x_waiting;
  IoList x_flushes;          // wait for writes before them, or for their turn
  IoList x_running_flushes;  // share the one that is in flight
  IoShares x_shares;
  uint64_t x_sequence = 0;
  uint64_t x_bytes_in_flight = 0;
  uint64_t x_write_bytes_in_flight = 0;
  uint32_t x_reads = 0;  // not ended
  uint32_t x_discards_in_flight = 0;
  Instant x_last_read{};
  Instant x_next_deadline = kNever;
  DeviceHealth x_health;
  size_t x_told = 0;
  bool x_is_polling = false;
};

}  // namespace tarn::io
