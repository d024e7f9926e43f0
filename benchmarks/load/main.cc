// tarn-bench: Tarn beside raw UCX. docs/BENCHMARKS.md says how to read what it prints.
#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <thread>

#include "benchmarks/load/bench.h"
#include "benchmarks/load/worker_role.h"

namespace {

using tarn::load::Options;
using tarn::load::Stage;

int fail(const tarn::Error& error) {
  std::cerr << "tarn-bench: " << tarn::outcome_name(error.outcome) << ": " << error.message << '\n';
  return 1;
}

int work(const Options& options) {
  tarn::ClientOptions client;
  client.endpoint = options.endpoint;
  client.credentials = options.credentials;
  client.transport = tarn::load::transport_of(options.transport);
  const auto done = tarn::load::be_worker(client, options.worker);
  return done ? 0 : fail(done.error());
}

int measure(Stage& stage, const Options& options) {
  if (options.keeps_logs) {
    stage.keep_folder();
    if (const auto folder = stage.folder()) std::cerr << "logs in " << folder.value() << '\n';
  }
  const auto report = tarn::load::run_bench(stage, options);
  if (!report) return fail(report.error());
  std::cout << report.value().table << std::flush;
  const std::string json = report.value().json.text() + "\n";
  if (options.json.empty() || tarn::report::write_file(options.json, json)) return 0;
  std::cerr << "tarn-bench: cannot write " << options.json << '\n';
  return 1;
}

// Strikes the stage when a signal comes, wherever the others are just then. SIGUSR1 is ours: all
// is done.
void guard(Stage& stage, const sigset_t& signals) {
  int signal = 0;
  if (sigwait(&signals, &signal) != 0 || signal == SIGUSR1) return;
  stage.strike();
  _exit(128 + signal);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  int status = 0;
  if (!tarn::load::parse(argc, argv, &options, &status)) return status;
  std::signal(SIGPIPE, SIG_IGN);
  if (!options.worker.empty()) return work(options);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1})
    sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  Stage stage;
  std::thread guardian(guard, std::ref(stage), std::cref(signals));
  status = measure(stage, options);
  pthread_kill(guardian.native_handle(), SIGUSR1);
  guardian.join();
  return status;
}
