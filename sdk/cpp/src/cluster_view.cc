#include "sdk/cpp/src/cluster_view.h"

#include <utility>

namespace tarn::sdk {

Result<bool> ClusterView::offer(ring::ClusterConfig config) {
  {
    const MutexLock lock(x_mutex);
    if (x_view != nullptr && config.epoch <= x_view->config.epoch) return false;
  }
  TARN_ASSIGN_OR_RETURN(ring::Ring ring, ring::Ring::build(config));
  auto view = std::make_shared<const View>(View{std::move(config), std::move(ring)});
  const MutexLock lock(x_mutex);
  if (x_view != nullptr && view->config.epoch <= x_view->config.epoch) return false;
  x_epoch.store(view->config.epoch.value, std::memory_order_release);
  x_view = std::move(view);
  return true;
}

std::shared_ptr<const View> ClusterView::current() const {
  const MutexLock lock(x_mutex);
  return x_view;
}

}  // namespace tarn::sdk
