#pragma once

#include "benchmarks/load/child.h"
#include "benchmarks/load/target.h"

namespace tarn::load {

struct BaselineOptions {
  std::string program;  // tarn-bench-ucx
  Workload workload;
  bool is_shm = false;
  bool is_checked = true;   // with the checksum work of Tarn
  uint32_t pool_mib = 256;  // memory of each side
};

// Raw UCX in two processes of its own. One-thread.
class BaselineTarget : public Target {
 public:
  static Expected<std::unique_ptr<BaselineTarget>> open(Stage& stage,
                                                        const BaselineOptions& options);

  std::string name() const override { return x_options.is_checked ? "ucx" : "ucx-nocrc"; }
  Expected<report::Slice> run(int64_t millis) override;

 private:
  BaselineTarget(BaselineOptions options, Child child)
      : x_options(std::move(options)), x_child(std::move(child)) {}

  const BaselineOptions x_options;
  Child x_child;
};

}  // namespace tarn::load
