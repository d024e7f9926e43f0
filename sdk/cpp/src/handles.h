#pragma once

#include <memory>
#include <string>

#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/flight.h"
#include "tarn/tarn.h"

// What stands behind the handles of the public API.
namespace tarn {

struct Client::Impl {
  std::shared_ptr<sdk::Core> core;
};

struct Space::Impl {
  std::shared_ptr<sdk::Core> core;
  std::shared_ptr<sdk::SpaceState> state;
  SpaceSpec spec;
};

struct Session::Impl {
  sdk::SessionName name() const { return {space->state->id, id}; }

  std::shared_ptr<Space::Impl> space;
  std::string id;
};

// Ends with its Transfer: cancels, and waits until no memory is in use.
struct Transfer::Impl {
  Impl(std::shared_ptr<sdk::Core> c, std::shared_ptr<sdk::TransferState> s)
      : core(std::move(c)), state(std::move(s)) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  const std::shared_ptr<sdk::Core> core;
  const std::shared_ptr<sdk::TransferState> state;
};

}  // namespace tarn
