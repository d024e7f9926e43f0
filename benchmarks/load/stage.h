#pragma once

#include <sys/types.h>

#include <mutex>
#include <string>
#include <vector>

#include "tarn/tarn.h"

namespace tarn::load {

// All that a benchmark has set up on this machine: processes and a temporary folder. Strike it, by
// destruction or when a signal comes, and nothing is left. Thread-safe.
class Stage {
 public:
  Stage() = default;
  ~Stage() { strike(); }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  // The temporary folder, made on the first call.
  Expected<std::string> folder();

  // Ends the process with SIGKILL when the stage is struck.
  void watch(pid_t process);
  void forget(pid_t process);

  // Leaves the folder there when the stage is struck.
  void keep_folder();

  // Kills what runs, waits for it, removes the folder. Idempotent; nothing may be added after it.
  void strike();

 private:
  std::mutex x_mutex;
  std::string x_folder;
  bool x_keeps_folder = false;
  std::vector<pid_t> x_processes;
};

}  // namespace tarn::load
