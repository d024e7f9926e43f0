#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "common/base/result.h"
#include "server/flash/log/region_log.h"

namespace tarn::flash {

using Listed = std::function<void(Result<std::vector<Entry>>)>;

// Tells the entries of a closed region in the order of their offsets: by its footer, or group by
// group where it has none. `done` is called once, from turn() of the log or at once: the entries,
// not_found (the region has a new life), or what the device says of its first page.
void list_region(RegionLog& log, uint32_t region, Listed done);

}  // namespace tarn::flash
