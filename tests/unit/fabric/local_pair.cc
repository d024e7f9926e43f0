#include "tests/unit/fabric/local_pair.h"

namespace tarn::fabric {

std::unique_ptr<FabricPair> make_local_pair() {
  return std::make_unique<LocalPair>();
}

}  // namespace tarn::fabric
