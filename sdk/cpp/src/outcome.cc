#include "sdk/cpp/src/outcome.h"

namespace tarn {

std::string_view outcome_name(Outcome outcome) {
  if (outcome == Outcome::miss) return "miss";
  return code_name(static_cast<Code>(outcome));
}

namespace sdk {

static_assert(static_cast<int>(Outcome::miss) == static_cast<int>(Code::not_found));
static_assert(static_cast<int>(Outcome::conflict) == static_cast<int>(Code::conflict));
static_assert(static_cast<int>(Outcome::corrupt) == static_cast<int>(Code::corrupt));
static_assert(static_cast<int>(Outcome::internal) == static_cast<int>(Code::internal));

Outcome outcome_of(Code code) {
  if (code == Code::extent_full || code == Code::stale_epoch) return Outcome::unavailable;
  return static_cast<Outcome>(code);
}

Error error_of(const Status& status) {
  return {outcome_of(status.code()), status.message()};
}

}  // namespace sdk
}  // namespace tarn
