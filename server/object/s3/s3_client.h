#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "server/object/s3/credential_source.h"
#include "server/object/s3/http_loop.h"
#include "server/object/s3/object_url.h"

namespace tarn::object {

struct S3Options {
  ObjectUrl url;
  std::string endpoint;  // http[s]://HOST[:PORT]; empty: AWS
  bool is_path_style = false;
  HttpLoopOptions loop;
  Environment environment = process_environment();
  uint64_t part_bytes = 8u << 20;  // of a multipart upload; what is not larger is put at once
  Nanos backoff = std::chrono::milliseconds(100);  // before the second try; then doubled
};

// An object as a list tells of it. Value type.
struct S3Object {
  std::string key;  // without the url's prefix
  uint64_t bytes = 0;
};

struct S3Put {
  std::string key;
  std::span<const std::byte> body;   // stays what it is until `done`
  std::shared_ptr<const void> hold;  // of the body
  Instant deadline = kNever;
  std::function<void(Status)> done;
};

struct S3Get {
  std::string key;
  uint64_t offset = 0;
  std::vector<std::span<std::byte>> into;  // one after another; written to until `done`
  Instant deadline = kNever;
  std::function<void(Status)> done;
};

// A bucket of an object store, by the S3 protocol. Keys stand below the url's prefix. What fails in
// passing (no connection, 5xx, 429) is tried again, each time after twice as long and at random
// within that, until the deadline or kTriesMax times. Callbacks come once, on the thread
// tarn-object, with: ok; not_found; overloaded (slow down, or full), unavailable,
// deadline_exceeded; unauthenticated, permission_denied, invalid_argument (what to do is in the
// text); corrupt. Thread-safe. Life: open, use, close, destroy. Limits: the loop's, and
// kPartsAtOnce parts of an upload under way.
class S3Client {
 public:
  static constexpr uint32_t kTriesMax = 6;
  static constexpr size_t kPartsAtOnce = 4;
  using Done = std::function<void(Status)>;
  using Listed = std::function<void(Result<std::vector<S3Object>>)>;

  // Asks nobody yet. Returns: the client, invalid_argument (endpoint), unavailable.
  static Result<std::unique_ptr<S3Client>> open(S3Options options);
  ~S3Client();
  S3Client(const S3Client&) = delete;
  S3Client& operator=(const S3Client&) = delete;

  // PutObject, or a multipart upload, of which nothing stays when it fails.
  void put(S3Put put);
  // Ranged GetObject: all of `into` is filled, or it is no success.
  void get(S3Get get);
  // All objects below the prefix, page by page.
  void list(const std::string& prefix, Instant deadline, Listed done);
  // Also ok where there is none.
  void remove(const std::string& key, Instant deadline, Done done);
  // HeadBucket: is it there, and may these credentials ask?
  void check_bucket(Instant deadline, Done done);

  HttpLoop& loop() { return *x_loop; }
  // "s3://BUCKET/PREFIX at HOST"
  const std::string& place() const { return x_place; }

  // What is under way ends as unavailable. Idempotent.
  void close() { x_loop->close(); }

 private:
  struct Call;
  struct Upload;
  struct Listing;

  explicit S3Client(S3Options options);

  void start(const std::shared_ptr<Call>& call);
  Result<HttpRequest> request_of(Call& call);
  void on_answer(const std::shared_ptr<Call>& call, Result<HttpResponse> answer);
  void retry_or_end(const std::shared_ptr<Call>& call, const Status& why, bool is_passing);
  std::shared_ptr<Call> make_call(std::string method, const std::string& key, Instant deadline);
  void put_in_parts(S3Put put);
  void send_parts(const std::shared_ptr<Upload>& upload);
  void on_part(const std::shared_ptr<Upload>& upload, size_t part,
               const Result<HttpResponse>& answer);
  void complete(const std::shared_ptr<Upload>& upload);
  void abort(const std::shared_ptr<Upload>& upload, const Status& why);
  void next_page(const std::shared_ptr<Listing>& listing);
  void on_page(const std::shared_ptr<Listing>& listing, const std::string& xml);

  const S3Options x_options;
  const Clock& x_clock;
  CredentialSource x_credentials;
  const std::string x_region;
  BucketAddress x_address;
  std::string x_place;
  std::minstd_rand x_random;  // the loop's thread's
  std::unique_ptr<HttpLoop> x_loop;
};

}  // namespace tarn::object
