#pragma once

#include <memory>
#include <string>

#include "common/base/result.h"
#include "router/member/authority.h"

namespace tarn::member {

// The authority of `tarn dev` and of a single node: a folder, mode 0700. `config` in it is replaced
// whole and fsynced; the controller's lock is an flock on `controller.lock`, so it ends with its
// process. One thread, which looks at the file every kFilePollInterval. For processes of one
// machine; never on a network file system.
inline constexpr Millis kFilePollInterval{20};

// Returns: the authority, unavailable or permission_denied when the folder cannot be had.
Result<std::unique_ptr<Authority>> open_file_authority(const std::string& folder);

}  // namespace tarn::member
