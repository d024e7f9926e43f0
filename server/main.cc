#include <signal.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/config/load.h"
#include "common/fabric/ucx_settings.h"
#include "server/wiring.h"

namespace {

constexpr tarn::Millis kDrainStep{20};
constexpr int kDrainSteps = 150;
constexpr tarn::Millis kLookEvery{100};
constexpr tarn::Millis kSilence{900};

// Waits for SIGTERM or SIGINT, which all threads have blocked; true for the first.
bool wait_for_signal(const sigset_t& signals, tarn::Millis at_most) {
  const timespec span{0, at_most.count() * 1'000'000};
  return ::sigtimedwait(&signals, nullptr, &span) > 0;
}

// A deploy is the common failure: the routers move what this server is primary of before it goes.
// A second signal ends the wait.
void drain(tarn::server::Server& server, const sigset_t& signals) {
  if (server.epoch() == 0) return;
  tarn::log::info("draining");
  server.drain();
  for (int step = 0; step < kDrainSteps && !server.is_drained(); ++step) {
    if (wait_for_signal(signals, kDrainStep)) return;
  }
}

// Waits until it is told to end, or until the server can go on no more; then for as long as the
// routers take to see that it is gone, or a start at once would keep its place in the cluster.
tarn::Status serve(const tarn::server::Server& server, const sigset_t& signals) {
  while (!wait_for_signal(signals, kLookEvery)) {
    const tarn::Status failure = server.failure();
    if (failure.is_ok()) continue;
    wait_for_signal(signals, kSilence);
    return failure;
  }
  return tarn::Status::ok();
}

int fail(const tarn::Status& why) {
  std::fprintf(stderr, "tarn-server: %s\n", why.message().c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace tarn;
  fabric::prepare_ucx_environment();
  auto values = config::load(server::server_schema(), argc, argv, config::environment());
  if (!values) return fail(values.error());
  if (!values->output().empty()) return std::fputs(values->output().c_str(), stdout) < 0 ? 1 : 0;
  auto options = server::server_options(*values);
  if (!options) return fail(options.error());
  if (const Status s = log::start(options->name, values->get_enum("log_level")); !s.is_ok()) {
    return fail(s);
  }
  for (const std::string& warning : values->warnings())
    log::warn("{}", warning);
  if (const Status s = fault::arm_from_environment(); !s.is_ok()) return fail(s);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  auto opened = server::Server::open(std::move(*options));
  if (!opened) return fail(opened.error());
  const Status ended = serve(**opened, signals);
  if (ended.is_ok()) drain(**opened, signals);
  (*opened)->close();
  return ended.is_ok() ? 0 : fail(ended);
}
