#include "server/lane/view.h"

#include <utility>

namespace tarn::lane {

Result<ClusterViewPtr> make_view(ring::ClusterConfig config, std::string_view self_name,
                                 bool is_remembered) {
  TARN_ASSIGN_OR_RETURN(ring::Ring drawn, ring::Ring::build(config));
  ServerId self = ring::kNoServer;
  for (const ring::Member& member : config.members) {
    if (member.name == self_name) self = member.id;
  }
  return ClusterViewPtr(std::make_shared<ClusterView>(
      ClusterView{std::move(config), std::move(drawn), self, is_remembered}));
}

}  // namespace tarn::lane
