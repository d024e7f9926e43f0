#include "server/object/s3/s3_error.h"

#include <algorithm>
#include <array>

#include "server/object/s3/xml_text.h"

namespace tarn::object {
namespace {

constexpr size_t kShownMax = 200;

struct Known {
  std::string_view s3_code;
  Code code;
  bool is_passing;
  std::string_view advice;
};

constexpr std::array kKnown = {
    Known{"NoSuchKey", Code::not_found, false, "there is no such object"},
    Known{"NoSuchUpload", Code::not_found, false, "there is no such upload"},
    Known{"InvalidRange", Code::not_found, false, "the object is shorter than it was"},
    Known{"NoSuchBucket", Code::invalid_argument, false,
          "there is no such bucket: make it, or name another one in object_url"},
    Known{"RequestTimeTooSkewed", Code::unauthenticated, false,
          "this machine's clock and the object store's differ too much: set the clock (NTP)"},
    Known{"SignatureDoesNotMatch", Code::permission_denied, false,
          "the signature is not accepted: check the secret access key, and AWS_REGION"},
    Known{"InvalidAccessKeyId", Code::permission_denied, false,
          "the access key id is unknown there: check AWS_ACCESS_KEY_ID or the credentials file"},
    Known{"ExpiredToken", Code::permission_denied, false,
          "the session token has expired: renew the credentials"},
    Known{"InvalidToken", Code::permission_denied, false,
          "the session token is not accepted: renew the credentials"},
    Known{"AccessDenied", Code::permission_denied, false,
          "the credentials lack a right: s3:GetObject, s3:PutObject, s3:DeleteObject, "
          "s3:AbortMultipartUpload on the objects and s3:ListBucket on the bucket are needed"},
    Known{"PermanentRedirect", Code::invalid_argument, false,
          "the bucket lies in another region: set AWS_REGION or object_endpoint"},
    Known{"AuthorizationHeaderMalformed", Code::invalid_argument, false,
          "the bucket lies in another region: set AWS_REGION"},
    Known{"SlowDown", Code::overloaded, true, "the object store asks to slow down"},
    Known{"RequestTimeout", Code::unavailable, true, "the object store did not get the request"},
    Known{"InternalError", Code::unavailable, true, "the object store has failed"},
};

Known known_of(long http_code) {
  switch (http_code) {
    case 301:
    case 307:
      return {"", Code::invalid_argument, false,
              "the bucket lies elsewhere: set AWS_REGION or object_endpoint"};
    case 401:
    case 403:
      return {"", Code::permission_denied, false,
              "access is refused: check the credentials and the bucket's policy"};
    case 404:
      return {"", Code::not_found, false, "there is no such bucket or object"};
    case 416:
      return {"", Code::not_found, false, "the object is shorter than it was"};
    case 408:
    case 429:
      return {"", Code::overloaded, true, "the object store asks to slow down"};
    case 507:
      return {"", Code::overloaded, false, "the object store is full"};
    default:
      break;
  }
  if (http_code >= 500) return {"", Code::unavailable, true, "the object store has failed"};
  return {"", Code::invalid_argument, false, "the object store does not take the request"};
}

std::string printable(std::string_view text) {
  std::string shown(text.substr(0, kShownMax));
  std::ranges::replace_if(
      shown, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return shown;
}

}  // namespace

S3Error s3_error(long http_code, std::string_view body, const std::string& place) {
  const std::string s3_code = xml_text(body, "Code").value_or("");
  const auto found = std::ranges::find(kKnown, s3_code, &Known::s3_code);
  const Known known = found != kKnown.end() ? *found : known_of(http_code);
  std::string text =
      place + ": " + std::string(known.advice) + " (HTTP " + std::to_string(http_code);
  if (!s3_code.empty()) text += ", " + printable(s3_code);
  const std::string words = printable(xml_text(body, "Message").value_or(""));
  if (!words.empty()) text += ": " + words;
  return {Status(known.code, text + ")"), known.is_passing};
}

}  // namespace tarn::object
