#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/base/status.h"
#include "common/fabric/fabric.h"
#include "common/memory/slab.h"
#include "sdk/cpp/src/flight.h"
#include "tarn/tarn.h"

namespace tarn::micro {

// The data path of one client and one lane of a server in one thread, over the loop fabric or the
// local one: all that a get and a put do but for waking threads, so that time, instructions and
// allocations of each can be counted. One-thread. Blocks have numbers and are chains of their own.
class DataPath {
 public:
  // Blocks that one call gets at most.
  static constexpr uint32_t kBatch = 64;

  explicit DataPath(uint64_t block_bytes, fabric::Kind kind = fabric::Kind::loop);
  ~DataPath();
  DataPath(const DataPath&) = delete;
  DataPath& operator=(const DataPath&) = delete;

  // As a call of the SDK goes: a flight through the io loop, which this thread drives.
  Outcome put(uint64_t number);
  Outcome get(uint64_t first, uint32_t count = 1);
  Outcome exists(uint64_t first, uint32_t count);

  // The same by a link alone, as a server asks another: an operation that is used again.
  Code link_put(uint64_t number);
  Code link_get(uint64_t number);

  // Blocks of `count` numbers from `first` on, all put by the link.
  void fill(uint64_t first, uint64_t count);

  // The stages. All of them are steps of the above.
  void make_transfer();                // of one block, begun by nobody
  void make_request(uint64_t number);  // a signed get of one block, for admit()
  bool admit();                        // the lane's checks of it
  bool find(uint64_t number) const;    // in the lane's index
  void serve(uint64_t number);         // an admitted get, its answer signed and taken
  void turn_lane();                    // with nothing to do

 private:
  struct Server;
  struct SdkSide;
  struct LinkSide;

  sdk::FlightItem item_of(sdk::Flight::Kind kind, uint64_t number, uint32_t index);
  Outcome fly(sdk::Flight::Kind kind, uint64_t first, uint32_t count);

  const uint64_t x_block_bytes;
  const std::unique_ptr<memory::Slab> x_source;
  const std::span<std::byte> x_from;
  std::vector<std::byte> x_into;
  uint32_t x_crc = 0;
  std::unique_ptr<Server> x_server;
  std::unique_ptr<SdkSide> x_sdk;
  std::unique_ptr<LinkSide> x_link;
};

}  // namespace tarn::micro
