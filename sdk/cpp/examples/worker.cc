// g++ -std=c++20 -Isdk/cpp/include sdk/cpp/examples/worker.cc -Lbuild/release/lib -ltarn
//
// A GPU worker that registers, says how busy it is, and leaves when an operator asks it to.
// `tarn dev` must be running:
//   ./a.out gpu-1 10.0.0.7:8000

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "tarn/tarn.h"

namespace {

int fail(const char* what, const tarn::Error& error) {
  std::fprintf(stderr, "%s: %s: %s\n", what, std::string(outcome_name(error.outcome)).c_str(),
               error.message.c_str());
  return 1;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::fprintf(stderr, "usage: worker NAME HOST:PORT\n");
    return 2;
  }
  auto client = tarn::Client::connect();
  if (!client) return fail("connect", client.error());
  tarn::SpaceSpec spaces;
  spaces.model = "example";
  auto space = client->open_space(spaces);
  if (!space) return fail("open_space", space.error());

  tarn::WorkerSpec spec;
  spec.name = arguments[1];
  spec.endpoint = arguments[2];
  spec.capacity = 8;
  spec.prefill_tokens_per_s = 20'000;
  auto worker = client->register_worker(*space, spec);
  if (!worker) return fail("register_worker", worker.error());
  std::printf("%s is registered\n", spec.name.c_str());

  // Where a balancer would send a request of 100 new tokens now.
  tarn::RouteQuery query;
  query.new_tokens = 100;
  const auto choice = client->route(*space, query);
  if (choice) std::printf("the next request goes to %s\n", choice.value().worker.c_str());

  uint32_t running = 0;
  while (!worker->should_drain()) {
    worker->set_load(running = (running + 1) % spec.capacity, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  worker->set_draining(true);
  std::printf("asked to leave: finishing what runs\n");
  return 0;
}
