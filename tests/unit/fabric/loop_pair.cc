#include "common/fabric/loop_port.h"
#include "tests/unit/fabric/fabric_pair.h"

namespace tarn::fabric {
namespace {

class LoopPair : public FabricPair {
 public:
  LoopPair() {
    x_a = LoopPort::open(x_hub, "a").value();
    x_b = LoopPort::open(x_hub, "b").value();
  }
  ~LoopPair() override {
    x_a.reset();
    x_b.reset();
  }

 private:
  LoopHub x_hub;
};

}  // namespace

std::unique_ptr<FabricPair> make_loop_pair() {
  return std::make_unique<LoopPair>();
}

}  // namespace tarn::fabric
