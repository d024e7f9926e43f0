#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "server/object/s3/s3_client.h"

namespace tarn::object {

// One request to the bucket with all of its tries. On the loop's thread.
struct S3Client::Call {
  std::string method;
  std::string key;  // with the prefix; empty: the bucket itself
  std::map<std::string, std::string> query;
  std::map<std::string, std::string> headers;
  std::span<const std::byte> body;
  std::vector<std::span<std::byte>> into;  // of a get
  Instant deadline = kNever;
  std::function<void(Result<HttpResponse>)> done;  // a response is one of success

  uint32_t tries = 0;
  uint64_t received = 0;

  uint64_t wanted_bytes() const;
  // Into the memory of `into`, behind what has come before; false beyond its end.
  bool take(std::span<const std::byte> bytes);
};

// A multipart upload.
struct S3Client::Upload {
  S3Put put;
  std::string id;
  std::vector<std::string> etags;  // by part
  size_t next = 0;                 // to be sent
  size_t under_way = 0;
  size_t done = 0;
  Status failure;
};

struct S3Client::Listing {
  std::string prefix;
  Instant deadline;
  Listed done;
  std::string token;  // of the next page
  std::vector<S3Object> objects;
};

}  // namespace tarn::object
