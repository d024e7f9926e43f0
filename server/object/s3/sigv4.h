#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace tarn::object {

// Who asks. Value type.
struct Credentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;  // empty: none

  friend bool operator==(const Credentials&, const Credentials&) = default;
};

// What is signed. Value type.
struct SignedRequest {
  std::string method;
  std::string path;                            // of the URL, encoded
  std::map<std::string, std::string> query;    // not encoded
  std::map<std::string, std::string> headers;  // by lower-case name; all of them are signed
  std::string payload_sha256;                  // hexadecimal, or kUnsignedPayload
};

// Over TLS, which protects the payload already.
inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";

// Adds x-amz-date, x-amz-content-sha256, the token and `authorization` to the request's headers, as
// AWS Signature Version 4 has it for the service s3. Precondition: the headers hold `host`.
// Returns: ok, unauthenticated (no secret).
Status sign(SignedRequest& request, const Credentials& who, std::string_view region,
            int64_t unix_ms);

// name=value&..., as it is signed and sent.
std::string encode_query(const std::map<std::string, std::string>& query);

}  // namespace tarn::object
