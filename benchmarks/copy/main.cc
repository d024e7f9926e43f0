// The fused checksum and copy out of another process's memory, as the limit that Tarn on one host
// is compared with. Reads lines "run get|put BLOCK_BYTES INFLIGHT crc|nocrc MILLIS" and answers
// each with one line, "slice ..." or "error ...". tarn-bench drives it; by hand it is as good:
//   echo run get 2097152 8 crc 2000 | build/release/benchmarks/tarn-bench-copy
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <iostream>

#include "benchmarks/copy/copier.h"

namespace {

using tarn::copying::Copier;

std::string answer(Copier& copier, const std::string& line) {
  const auto run = tarn::report::parse_run(line);
  if (!run) return "error run get|put BLOCK_BYTES INFLIGHT crc|nocrc MILLIS";
  const auto slice = copier.run(*run);
  return slice ? "slice " + slice->to_line() : "error " + slice.error().to_string();
}

int say(const tarn::Status& status) {
  if (!status.is_ok()) std::cerr << "tarn-bench-copy: " << status.to_string() << '\n';
  return status.is_ok() ? 0 : 1;
}

tarn::Status copy(int socket, size_t pool_bytes) {
  TARN_ASSIGN_OR_RETURN(const int memfd, tarn::copying::take_pool(socket));
  TARN_ASSIGN_OR_RETURN(const auto copier, Copier::open(memfd, pool_bytes));
  std::string line;
  while (std::getline(std::cin, line))
    std::cout << answer(*copier, line) << '\n' << std::flush;
  close(memfd);
  return tarn::Status::ok();
}

}  // namespace

int main(int argc, char** argv) {
  size_t pool_mib = 256;
  CLI::App app("The fused checksum and copy: the limit that Tarn on one host is compared with");
  app.add_option("--pool-mib", pool_mib, "Memory of each side")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return 1;
  const pid_t owner = fork();
  if (owner < 0) return say(tarn::unavailable("fork"));
  if (owner == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ends[0]);
    return say(tarn::copying::own_pool(ends[1], pool_mib << 20));
  }
  close(ends[1]);
  const int result = say(copy(ends[0], pool_mib << 20));
  close(ends[0]);
  waitpid(owner, nullptr, 0);
  return result;
}
