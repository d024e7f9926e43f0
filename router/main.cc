#include <signal.h>

#include <cstdio>

#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/config/load.h"
#include "router/options.h"
#include "router/router.h"

namespace {

int fail(const tarn::Status& status, int code) {
  std::fprintf(stderr, "tarn-router: %s\n", status.message().c_str());
  return code;
}

// Waits for a signal to end; the threads that start later inherit the mask.
int serve(const tarn::router::RouterOptions& options) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  const auto router = tarn::router::Router::open(options);
  if (!router) return fail(router.error(), 1);
  int signal = 0;
  sigwait(&ends, &signal);
  tarn::log::info("ends on signal {}", signal);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto values =
      tarn::config::load(tarn::router::router_schema(), argc, argv, tarn::config::environment());
  if (!values) return fail(values.error(), 2);
  if (!values->output().empty()) {
    std::fputs(values->output().c_str(), stdout);
    return 0;
  }
  const auto options = tarn::router::router_options(*values);
  for (const tarn::Status& status : {tarn::log::start("tarn-router", values->get_enum("log_level")),
                                     options.status(), tarn::fault::arm_from_environment()}) {
    if (!status.is_ok()) return fail(status, 2);
  }
  for (const std::string& warning : values->warnings())
    tarn::log::warn("{}", warning);
  return serve(*options);
}
