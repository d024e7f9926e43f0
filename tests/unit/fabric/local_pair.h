#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "common/fabric/local_port.h"
#include "tests/unit/fabric/fabric_pair.h"

namespace tarn::fabric {

// A folder for sockets, gone at the end.
class FolderOfTests {
 public:
  FolderOfTests() {
    std::string made = "/tmp/tarn-local-test-XXXXXX";
    x_folder = LocalFolder::open(mkdtemp(made.data()), false).value();
  }
  ~FolderOfTests() { std::filesystem::remove_all(x_folder.path); }
  FolderOfTests(const FolderOfTests&) = delete;
  FolderOfTests& operator=(const FolderOfTests&) = delete;

  const LocalFolder& folder() const { return x_folder; }

 private:
  LocalFolder x_folder;
};

// a is a client, b a server; both may show memory.
class LocalPair : public FabricPair {
 public:
  explicit LocalPair(const LocalLimits& limits = {}) {
    x_b =
        LocalPort::open(
            {.folder = x_folder.folder(), .is_server = true, .memory = b_memory, .limits = limits})
            .value();
    x_a =
        LocalPort::open(
            {.folder = x_folder.folder(), .is_server = false, .memory = a_memory, .limits = limits})
            .value();
  }

  const LocalFolder& folder() const { return x_folder.folder(); }
  const LocalCounters& counters_of_a() { return static_cast<LocalPort&>(a()).counters(); }
  const LocalCounters& counters_of_b() { return static_cast<LocalPort&>(b()).counters(); }

  const std::shared_ptr<LocalMemory> a_memory = std::make_shared<LocalMemory>();
  const std::shared_ptr<LocalMemory> b_memory = std::make_shared<LocalMemory>();

 private:
  FolderOfTests x_folder;
};

}  // namespace tarn::fabric
