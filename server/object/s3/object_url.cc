#include "server/object/s3/object_url.h"

#include <algorithm>

namespace tarn::object {
namespace {

constexpr std::string_view kScheme = "s3://";
constexpr size_t kBucketMin = 3;
constexpr size_t kBucketMax = 63;
constexpr size_t kPrefixMax = 512;

bool is_lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_unreserved(char c) {
  return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

bool is_bucket(std::string_view name) {
  const bool is_long_enough = name.size() >= kBucketMin && name.size() <= kBucketMax;
  return is_long_enough && is_lower_or_digit(name.front()) && is_lower_or_digit(name.back()) &&
         std::ranges::all_of(name,
                             [](char c) { return is_lower_or_digit(c) || c == '-' || c == '.'; });
}

bool is_host(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return is_unreserved(c) || c == ':' || c == '[' || c == ']';
  });
}

}  // namespace

Result<ObjectUrl> ObjectUrl::parse(std::string_view text) {
  const std::string shown(text);
  if (!text.starts_with(kScheme))
    return invalid_argument("object_url: not s3://BUCKET/PREFIX: '" + shown + "'");
  text.remove_prefix(kScheme.size());
  const size_t slash = std::min(text.find('/'), text.size());
  ObjectUrl url;
  url.bucket = text.substr(0, slash);
  if (!is_bucket(url.bucket))
    return invalid_argument("object_url: '" + url.bucket +
                            "' is no bucket's name: 3 to 63 of a-z, 0-9, '-' and '.'");
  if (slash < text.size()) url.prefix = text.substr(slash + 1);
  const bool is_plain =
      std::ranges::all_of(url.prefix, [](char c) { return is_unreserved(c) || c == '/'; });
  if (!is_plain || url.prefix.size() > kPrefixMax || url.prefix.starts_with('/') ||
      url.prefix.find("//") != std::string::npos)
    return invalid_argument(
        "object_url: the prefix may have letters, digits, -._~ and single '/'"
        ": '" +
        shown + "'");
  if (!url.prefix.empty() && url.prefix.back() != '/') url.prefix += '/';
  return url;
}

Result<BucketAddress> BucketAddress::of(const Wanted& wanted) {
  BucketAddress address;
  address.scheme = "https";
  address.host = "s3." + wanted.region + ".amazonaws.com";
  if (!wanted.endpoint.empty()) {
    std::string_view rest = wanted.endpoint;
    const size_t colon = rest.find("://");
    if (colon != std::string_view::npos) {
      address.scheme = rest.substr(0, colon);
      rest.remove_prefix(colon + 3);
    }
    while (rest.ends_with('/'))
      rest.remove_suffix(1);
    const bool is_known = address.scheme == "https" || address.scheme == "http";
    if (colon == std::string_view::npos || !is_known || !is_host(rest))
      return invalid_argument("object_endpoint: not http[s]://HOST[:PORT]: '" + wanted.endpoint +
                              "'");
    address.host = rest;
  }
  if (wanted.is_path_style) {
    address.path = "/" + wanted.bucket;
  } else {
    address.host = wanted.bucket + "." + address.host;
  }
  return address;
}

std::string uri_encode(std::string_view text, bool keeps_slashes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (is_unreserved(c) || (c == '/' && keeps_slashes)) {
      encoded += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    encoded += '%';
    encoded += kDigits[byte >> 4];
    encoded += kDigits[byte & 15];
  }
  return encoded;
}

}  // namespace tarn::object
