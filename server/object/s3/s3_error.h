#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"

namespace tarn::object {

// Why a request failed, and whether the same request may succeed a moment later. Value type.
struct S3Error {
  Status status;
  bool is_passing = false;
};

// What an answer that is no success means, and what to do about it. `body` is the answer's, which
// may be anything and is empty for HEAD; `place` names bucket and endpoint for people.
S3Error s3_error(long http_code, std::string_view body, const std::string& place);

}  // namespace tarn::object
