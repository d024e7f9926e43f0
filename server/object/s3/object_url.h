#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"

namespace tarn::object {

// s3://BUCKET/PREFIX. Value type.
struct ObjectUrl {
  std::string bucket;
  std::string prefix;  // empty, or ends in '/'

  // Returns: the url, invalid_argument.
  static Result<ObjectUrl> parse(std::string_view text);
};

// Where the requests for a bucket go. Value type.
struct BucketAddress {
  std::string scheme;  // http or https
  std::string host;    // as it stands in the Host header: with the port where one is named
  std::string path;    // before the object's name: empty, or "/BUCKET"

  // `endpoint` is http[s]://HOST[:PORT], or empty for AWS in that region. With a path style the
  // bucket stands in the path, else before the host's name. Returns: the address,
  // invalid_argument.
  struct Wanted {
    std::string bucket;
    std::string region;
    std::string endpoint;
    bool is_path_style = false;
  };
  static Result<BucketAddress> of(const Wanted& wanted);
};

// As SigV4 wants it: all but letters, digits and -._~ as %XX; '/' stays where it parts a path.
std::string uri_encode(std::string_view text, bool keeps_slashes);

}  // namespace tarn::object
