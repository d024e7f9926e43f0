// usage: fabric_ucx_peer KIND HEX-ADDRESS [STAGE]
// Opens a port of KIND (ucx or ucx_shm), connects it to the address, writes its own address in hex
// to stdout, and then answers each message with a payload by one that brings the same bytes back,
// and each other message with its header. Ends with its stdin, or with STAGE of its first payload,
// without a farewell: "asked", "receiving", "received", "answering". With a number as STAGE it
// sends a message at once and stops (SIGSTOP) after so many turns in which its port had something
// to do.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cctype>
#include <cstdio>
#include <list>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/fabric/ucx_port.h"
#include "tests/unit/fabric/hex.h"

namespace tarn::fabric {
namespace {

class Echo {
 public:
  Echo(Kind kind, const std::string& address, std::string stage) : x_last_stage(std::move(stage)) {
    UcxPort::Options options;
    options.context = UcxContext::open({.kind = kind, .device = "lo"}).value();
    x_port = UcxPort::open(std::move(options)).value();
    if (!x_last_stage.empty() && std::isdigit(x_last_stage[0]))
      x_turns_left = std::stoi(x_last_stage);
    x_port->set_handler([this](uint64_t, Bytes header, Payload& payload) { on(header, payload); });
    x_back = x_port->connect({.peer_address = address, .link = 1, .on_lost = {}}).value();
  }

  void run() {
    std::printf("%s\n", to_hex(x_port->address()).c_str());
    std::fflush(stdout);
    if (x_turns_left >= 0) (void)x_back->send(Bytes(), {}, {});
    pollfd input{STDIN_FILENO, POLLIN, 0};
    while (poll(&input, 1, 0) == 0) {
      if (x_turns_left == 0) raise(SIGSTOP);
      if (x_port->progress() > 0) {
        --x_turns_left;
        continue;
      }
      if (!x_port->arm()) continue;
      pollfd both[2] = {{x_port->event_fd(), POLLIN, 0}, input};
      poll(both, 2, 100);
    }
  }

 private:
  struct Job {
    std::vector<std::byte> header;
    std::vector<std::byte> bytes;
  };

  // Dies where it was told to, as by SIGKILL: nothing of UCX is cleaned up.
  void pass(const char* stage) {
    if (x_last_stage == stage) _exit(0);
  }

  void on(Bytes header, Payload& payload) {
    x_jobs.push_back({{header.begin(), header.end()}, std::vector<std::byte>(payload.size())});
    const auto job = std::prev(x_jobs.end());
    if (payload.size() == 0) return answer(job);
    pass("asked");
    const MutableBytes into = job->bytes;
    payload.receive({&into, 1}, [this, job](Code code, uint32_t) {
      pass("received");
      if (code == Code::ok) answer(job);
    });
    pass("receiving");
  }

  void answer(std::list<Job>::iterator job) {
    const Bytes part = job->bytes;
    const std::span<const Bytes> payload(&part, job->bytes.empty() ? 0 : 1);
    const Status sent =
        x_back->send(job->header, payload, [this, job](Code) { x_jobs.erase(job); });
    if (!payload.empty()) pass("answering");
    if (!sent.is_ok()) x_jobs.erase(job);
  }

  const std::string x_last_stage;
  int x_turns_left = -1;  // negative: it never stops
  std::list<Job> x_jobs;
  std::unique_ptr<UcxPort> x_port;
  std::unique_ptr<Connection> x_back;
};

}  // namespace
}  // namespace tarn::fabric

int main(int argc, char** argv) {
  TARN_CHECK(argc == 3 || argc == 4);
  const auto kind =
      std::string(argv[1]) == "ucx" ? tarn::fabric::Kind::ucx : tarn::fabric::Kind::ucx_shm;
  tarn::fabric::Echo(kind, tarn::fabric::from_hex(argv[2]), argc == 4 ? argv[3] : "").run();
  return 0;
}
