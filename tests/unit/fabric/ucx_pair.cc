#include "common/fabric/ucx_port.h"
#include "tests/unit/fabric/fabric_pair.h"

namespace tarn::fabric {
namespace {

class UcxPair : public FabricPair {
 public:
  explicit UcxPair(Kind kind) : x_kind(kind) {
    x_a = open();
    x_b = open();
  }

 private:
  std::unique_ptr<Port> open() const {
    auto context = UcxContext::open({.kind = x_kind, .device = "lo"}).value();
    UcxPort::Options options;
    options.context = std::move(context);
    return UcxPort::open(std::move(options)).value();
  }

  const Kind x_kind;
};

}  // namespace

std::unique_ptr<FabricPair> make_ucx_pair() {
  return std::make_unique<UcxPair>(Kind::ucx);
}

std::unique_ptr<FabricPair> make_ucx_shm_pair() {
  return std::make_unique<UcxPair>(Kind::ucx_shm);
}

}  // namespace tarn::fabric
