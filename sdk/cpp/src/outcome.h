#pragma once

#include <utility>

#include "common/base/result.h"
#include "common/base/status.h"
#include "tarn/tarn.h"

namespace tarn::sdk {

// What the public API calls a code of ours. extent_full and stale_epoch never leave the SDK on
// their own: when its retries have run out they are `unavailable`.
Outcome outcome_of(Code code);

Error error_of(const Status& status);

template <typename T>
Expected<T> expected_of(Result<T> result) {
  if (!result) return error_of(result.error());
  return std::move(result).value();
}

inline Expected<Done> expected_of(const Status& status) {
  if (!status.is_ok()) return error_of(status);
  return Done{};
}

}  // namespace tarn::sdk
