#pragma once

#include <string>
#include <vector>

#include "benchmarks/peers/raw/command.h"
#include "benchmarks/peers/raw/payload.h"
#include "benchmarks/peers/raw/store.h"

namespace tarn::peers {

// Does what the lines of a race say with one store. One-thread. The store must outlive it.
//
// Keys of the working set are "w<bytes>-<number>"; value `number` is Payload::value(number). A put
// makes keys of its own and removes them after the clock has stopped. After a get, what lies in the
// ring is compared byte for byte, also after the clock has stopped.
class Runner {
 public:
  Runner(Store& store, const Payload& payload) : x_store(store), x_payload(payload) {}

  // Returns: what was done; the first error, after which the store may be in any state.
  Result<Answer> run(const Command& command);

 private:
  struct Flight {
    int64_t begun_ns = 0;
    uint64_t number = 0;
  };

  Result<Answer> fill(const Command& command);
  Result<Answer> transfer(const Command& command);
  Result<Answer> exists(const Command& command);
  Result<Answer> drop(const Command& command);

  std::string key_of(const Command& command, uint64_t number) const;
  std::span<std::byte> place_of(const Command& command, uint64_t number) const;
  Status begin(const Command& command, uint32_t slot);
  Status go_round(const Command& command, Answer* answer);
  Status check(const Command& command, Answer* answer) const;
  Status remove_put(const Command& command);

  Store& x_store;
  const Payload& x_payload;
  std::vector<Flight> x_flights;
  uint64_t x_begun = 0;
};

// Answers each line of stdin with one of stdout, "done ..." or "error ...", until stdin ends.
void serve_lines(Runner& runner);

}  // namespace tarn::peers
