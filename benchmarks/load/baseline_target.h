#pragma once

#include <string>
#include <vector>

#include "benchmarks/load/child.h"
#include "benchmarks/load/target.h"

namespace tarn::load {

struct BaselineOptions {
  std::string name;                      // "ucx"
  std::vector<std::string> words;        // the program's path and its arguments
  std::vector<std::string> environment;  // NAME=VALUE
  Workload workload;
  bool is_checked = true;  // with the checksum work of Tarn
};

// Another program that does the same work when it is told "run get|put BLOCK_BYTES INFLIGHT
// crc|nocrc MILLIS", and answers "slice ...": raw UCX, a copy of memory, Tarn from Python.
// One-thread.
class BaselineTarget : public Target {
 public:
  static Expected<std::unique_ptr<BaselineTarget>> open(Stage& stage,
                                                        const BaselineOptions& options);

  std::string name() const override {
    return x_options.is_checked ? x_options.name : x_options.name + "-nocrc";
  }
  Expected<report::Slice> run(int64_t millis) override;

 private:
  BaselineTarget(BaselineOptions options, Child child)
      : x_options(std::move(options)), x_child(std::move(child)) {}

  const BaselineOptions x_options;
  Child x_child;
};

}  // namespace tarn::load
