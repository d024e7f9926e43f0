#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "server/object/s3/sigv4.h"

namespace tarn::object {

// The value of an environment variable; empty for none. The seam for tests.
using Environment = std::function<std::string(const std::string& name)>;
Environment process_environment();

// Whence the credentials come: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, else
// the profile AWS_PROFILE (default) of AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials), which is
// read again when it has changed. Thread-safe; reads a small file.
class CredentialSource {
 public:
  explicit CredentialSource(Environment environment = process_environment());

  // Returns: the credentials, unauthenticated (none are there, and where was looked).
  Result<Credentials> get();

  // AWS_REGION, AWS_DEFAULT_REGION, the profile's of AWS_CONFIG_FILE (~/.aws/config), else
  // us-east-1.
  std::string region() const;

 private:
  struct Stamp {
    int64_t modified_ns = 0;
    int64_t bytes = 0;
    uint64_t inode = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };

  static std::optional<Stamp> stamp_of(const std::string& path);
  std::string profile() const;
  std::string path_of(const std::string& variable, const std::string& usual) const;
  Result<Credentials> read(const std::string& path) const;

  const Environment x_environment;
  Mutex x_mutex;
  std::optional<Stamp> x_stamp TARN_GUARDED_BY(x_mutex);
  Credentials x_kept TARN_GUARDED_BY(x_mutex);
};

}  // namespace tarn::object
