#include "common/fabric/fabric.h"

namespace tarn::fabric {

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::loop:
      return "loop";
    case Kind::grpc:
      return "grpc";
    case Kind::ucx:
      return "ucx";
    case Kind::ucx_shm:
      return "ucx_shm";
    case Kind::local:
      return "local";
  }
  return "unknown";
}

}  // namespace tarn::fabric
