#include <cstdlib>
#include <iostream>

#include <unistd.h>

#include "cli/app.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/fabric/ucx_settings.h"

int main(int argc, char** argv) {
  // An error is one sentence of ours: gRPC's own words about it are for who asks for them.
  ::setenv("GRPC_VERBOSITY", "NONE", 0);
  tarn::fabric::prepare_ucx_environment();
  tarn::cli::Terminal terminal{std::cout, std::cerr, false, ::isatty(STDERR_FILENO) == 1};
  for (const tarn::Status& status :
       {tarn::log::start("tarn", "warning"), tarn::fault::arm_from_environment()}) {
    if (!status.is_ok()) return tarn::cli::report(terminal, status);
  }
  return tarn::cli::run(argc, argv, terminal);
}
