#pragma once

#include "common/base/result.h"
#include "common/config/schema.h"
#include "common/config/values.h"
#include "router/router.h"

namespace tarn::router {

// The items of the configuration of tarn-router.
config::Schema router_schema();

// Returns: the options; invalid_argument naming the item that does not fit.
Result<RouterOptions> router_options(const config::Values& values);

}  // namespace tarn::router
