#include "benchmarks/load/stage.h"

#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>

namespace tarn::load {

Expected<std::string> Stage::folder() {
  const std::lock_guard lock(x_mutex);
  if (!x_folder.empty()) return x_folder;
  std::error_code error;
  std::string path = (std::filesystem::temp_directory_path(error) / "tarn-bench.XXXXXX").string();
  if (error || mkdtemp(path.data()) == nullptr) {
    return Error{Outcome::unavailable, "no temporary folder: " + path};
  }
  x_folder = path;
  return path;
}

void Stage::watch(pid_t process) {
  const std::lock_guard lock(x_mutex);
  x_processes.push_back(process);
}

void Stage::forget(pid_t process) {
  const std::lock_guard lock(x_mutex);
  std::erase(x_processes, process);
}

void Stage::keep_folder() {
  const std::lock_guard lock(x_mutex);
  x_keeps_folder = true;
}

void Stage::strike() {
  const std::lock_guard lock(x_mutex);
  for (const pid_t process : x_processes)
    kill(process, SIGKILL);
  for (const pid_t process : x_processes)
    waitpid(process, nullptr, 0);
  x_processes.clear();
  std::error_code ignored;
  if (!x_folder.empty() && !x_keeps_folder) std::filesystem::remove_all(x_folder, ignored);
  x_folder.clear();
}

}  // namespace tarn::load
