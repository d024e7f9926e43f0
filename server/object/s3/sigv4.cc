#include "server/object/s3/sigv4.h"

#include <ctime>

#include "common/auth/secret.h"
#include "common/base/check.h"
#include "common/base/ids.h"
#include "common/block/sha256.h"
#include "server/object/s3/object_url.h"

namespace tarn::object {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string sha256_hex(std::string_view bytes) {
  const block::Digest256 digest = block::sha256(bytes);
  return to_hex(std::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

// 20130524T000000Z
std::string timestamp(int64_t unix_ms) {
  const auto seconds = static_cast<std::time_t>(unix_ms / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  const size_t length = std::strftime(text, sizeof(text), "%Y%m%dT%H%M%SZ", &parts);
  return {text, length};
}

Result<std::string> hmac(std::string_view key, std::string_view text) {
  TARN_ASSIGN_OR_RETURN(auto made, auth::MacKey::open(key));
  return std::string(auth::view_of(made.mac({text})));
}

Result<std::string> signature(const Credentials& who, std::string_view date,
                              std::string_view region, std::string_view text) {
  TARN_ASSIGN_OR_RETURN(std::string key, hmac("AWS4" + who.secret_access_key, date));
  for (const std::string_view part :
       {region, std::string_view("s3"), std::string_view("aws4_request"), text}) {
    TARN_ASSIGN_OR_RETURN(key, hmac(key, part));
  }
  return to_hex(key);
}

}  // namespace

std::string encode_query(const std::map<std::string, std::string>& query) {
  std::string encoded;
  for (const auto& [name, value] : query) {
    if (!encoded.empty()) encoded += '&';
    encoded += uri_encode(name, false) + "=" + uri_encode(value, false);
  }
  return encoded;
}

Status sign(SignedRequest& request, const Credentials& who, std::string_view region,
            int64_t unix_ms) {
  TARN_CHECK(request.headers.contains("host"));
  if (who.access_key_id.empty() || who.secret_access_key.empty())
    return unauthenticated("object store: the credentials are empty");
  const std::string when = timestamp(unix_ms);
  const std::string date = when.substr(0, 8);
  request.headers["x-amz-date"] = when;
  request.headers["x-amz-content-sha256"] = request.payload_sha256;
  if (!who.session_token.empty()) request.headers["x-amz-security-token"] = who.session_token;
  std::string names;
  std::string canonical =
      request.method + "\n" + request.path + "\n" + encode_query(request.query) + "\n";
  for (const auto& [name, value] : request.headers) {
    canonical += name + ":" + value + "\n";
    names += (names.empty() ? "" : ";") + name;
  }
  canonical += "\n" + names + "\n" + request.payload_sha256;
  const std::string scope = date + "/" + std::string(region) + "/s3/aws4_request";
  const std::string text =
      std::string(kAlgorithm) + "\n" + when + "\n" + scope + "\n" + sha256_hex(canonical);
  TARN_ASSIGN_OR_RETURN(const std::string made, signature(who, date, region, text));
  request.headers["authorization"] = std::string(kAlgorithm) + " Credential=" + who.access_key_id +
                                     "/" + scope + ",SignedHeaders=" + names + ",Signature=" + made;
  return Status::ok();
}

}  // namespace tarn::object
