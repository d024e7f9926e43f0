#include "server/object/s3/s3_client.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "common/base/ids.h"
#include "common/block/sha256.h"
#include "server/object/s3/s3_call.h"
#include "server/object/s3/s3_error.h"
#include "server/object/s3/xml_text.h"

namespace tarn::object {
namespace {

// A page of a list names at most 1,000; a list of more pages than that is not believed.
constexpr size_t kListedMax = 4'000'000;
constexpr Nanos kBackoffMax = std::chrono::seconds(5);

std::string sha256_of(std::span<const std::byte> bytes) {
  const block::Digest256 digest =
      block::sha256({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  return to_hex(std::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

// A failure that no answer tells of.
bool is_passing(const Status& failure) {
  return failure.code() == Code::unavailable;
}

}  // namespace

uint64_t S3Client::Call::wanted_bytes() const {
  uint64_t bytes = 0;
  for (const auto& part : into)
    bytes += part.size();
  return bytes;
}

bool S3Client::Call::take(std::span<const std::byte> bytes) {
  uint64_t at = received;
  received += bytes.size();
  for (const auto& part : into) {
    if (at >= part.size()) {
      at -= part.size();
      continue;
    }
    const size_t taken = std::min<size_t>(bytes.size(), part.size() - at);
    std::copy_n(bytes.begin(), taken, part.begin() + static_cast<ptrdiff_t>(at));
    bytes = bytes.subspan(taken);
    at = 0;
    if (bytes.empty()) return true;
  }
  return bytes.empty();
}

Result<std::unique_ptr<S3Client>> S3Client::open(S3Options options) {
  auto client = std::unique_ptr<S3Client>(new S3Client(std::move(options)));
  const S3Options& made = client->x_options;
  TARN_ASSIGN_OR_RETURN(client->x_address, BucketAddress::of({made.url.bucket, client->x_region,
                                                              made.endpoint, made.is_path_style}));
  client->x_place =
      "s3://" + made.url.bucket + "/" + made.url.prefix + " at " + client->x_address.host;
  HttpLoopOptions loop = made.loop;
  if (loop.ca_file.empty()) loop.ca_file = made.environment("AWS_CA_BUNDLE");
  TARN_ASSIGN_OR_RETURN(client->x_loop, HttpLoop::open(std::move(loop)));
  return client;
}

S3Client::S3Client(S3Options options)
    : x_options(std::move(options)),
      x_clock(*x_options.loop.clock),
      x_credentials(x_options.environment),
      x_region(x_credentials.region()),
      x_random(std::random_device{}()) {}

S3Client::~S3Client() {
  if (x_loop != nullptr) x_loop->close();
}

// --- one request and its tries

std::shared_ptr<S3Client::Call> S3Client::make_call(std::string method, const std::string& key,
                                                    Instant deadline) {
  auto call = std::make_shared<Call>();
  call->method = std::move(method);
  if (!key.empty()) call->key = x_options.url.prefix + key;
  call->deadline = deadline;
  return call;
}

Result<HttpRequest> S3Client::request_of(Call& call) {
  TARN_ASSIGN_OR_RETURN(const Credentials who, x_credentials.get());
  SignedRequest made;
  made.method = call.method;
  made.path = x_address.path + "/" + uri_encode(call.key, true);
  made.query = call.query;
  made.headers = call.headers;
  made.headers["host"] = x_address.host;
  const bool is_protected = x_address.scheme == "https";
  made.payload_sha256 = is_protected ? std::string(kUnsignedPayload) : sha256_of(call.body);
  TARN_RETURN_IF_ERROR(sign(made, who, x_region, x_clock.unix_ms()));
  HttpRequest request;
  request.method = call.method;
  request.url = x_address.scheme + "://" + x_address.host + made.path;
  if (!made.query.empty()) request.url += "?" + encode_query(made.query);
  made.headers.erase("host");  // libcurl's, from the URL
  for (const auto& [name, value] : made.headers)
    request.headers.push_back(name + ": " + value);
  request.body = call.body;
  request.deadline = call.deadline;
  return request;
}

void S3Client::start(const std::shared_ptr<Call>& call) {
  ++call->tries;
  call->received = 0;
  auto request = request_of(*call);
  if (!request) return call->done(request.error());
  if (!call->into.empty())
    request->sink = [call](std::span<const std::byte> bytes) { return call->take(bytes); };
  request->done = [this, call](Result<HttpResponse> answer) { on_answer(call, std::move(answer)); };
  x_loop->submit(std::move(*request));
}

void S3Client::on_answer(const std::shared_ptr<Call>& call, Result<HttpResponse> answer) {
  if (!answer) return retry_or_end(call, answer.error(), is_passing(answer.error()));
  if (!answer->is_success()) {
    S3Error error = s3_error(answer->code, answer->body, x_place);
    const bool is_bucket = call->key.empty() && error.status.code() == Code::not_found;
    if (is_bucket) error = s3_error(answer->code, "<Code>NoSuchBucket</Code>", x_place);
    return retry_or_end(call, error.status, error.is_passing);
  }
  if (call->received != call->wanted_bytes())
    return call->done(not_found(x_place + ": the object is shorter than it was"));
  call->done(std::move(answer));
}

void S3Client::retry_or_end(const std::shared_ptr<Call>& call, const Status& why, bool passes) {
  if (!passes || call->tries >= kTriesMax) return call->done(why);
  const Nanos longest = std::min<Nanos>(x_options.backoff * (1u << (call->tries - 1)), kBackoffMax);
  std::uniform_real_distribution<double> share(0.5, 1.0);
  const auto pause =
      Nanos(static_cast<int64_t>(static_cast<double>(longest.count()) * share(x_random)));
  const Instant when = x_clock.now() + pause;
  if (when >= call->deadline) return call->done(why);
  x_loop->run_at(when, [this, call] { start(call); });
}

// --- single requests

void S3Client::get(S3Get get) {
  const auto call = make_call("GET", get.key, get.deadline);
  call->into = std::move(get.into);
  const uint64_t bytes = call->wanted_bytes();
  if (bytes == 0) return get.done(invalid_argument("object store: a get of nothing"));
  call->headers["range"] =
      "bytes=" + std::to_string(get.offset) + "-" + std::to_string(get.offset + bytes - 1);
  call->done = [done = std::move(get.done)](const Result<HttpResponse>& answer) {
    done(answer.status());
  };
  x_loop->run([this, call] { start(call); });
}

void S3Client::remove(const std::string& key, Instant deadline, Done done) {
  const auto call = make_call("DELETE", key, deadline);
  call->done = [done = std::move(done)](const Result<HttpResponse>& answer) {
    const bool was_none = answer.status().code() == Code::not_found;
    done(was_none ? Status::ok() : answer.status());
  };
  x_loop->run([this, call] { start(call); });
}

void S3Client::check_bucket(Instant deadline, Done done) {
  const auto call = make_call("HEAD", "", deadline);
  call->done = [done = std::move(done)](const Result<HttpResponse>& answer) {
    done(answer.status());
  };
  x_loop->run([this, call] { start(call); });
}

// --- lists

void S3Client::list(const std::string& prefix, Instant deadline, Listed done) {
  const auto listing = std::make_shared<Listing>();
  listing->prefix = x_options.url.prefix + prefix;
  listing->deadline = deadline;
  listing->done = std::move(done);
  next_page(listing);
}

void S3Client::next_page(const std::shared_ptr<Listing>& listing) {
  const auto call = make_call("GET", "", listing->deadline);
  call->query = {{"list-type", "2"}, {"prefix", listing->prefix}};
  if (!listing->token.empty()) call->query["continuation-token"] = listing->token;
  call->done = [this, listing](const Result<HttpResponse>& answer) {
    if (!answer) return listing->done(answer.error());
    on_page(listing, answer->body);
  };
  x_loop->run([this, call] { start(call); });
}

void S3Client::on_page(const std::shared_ptr<Listing>& listing, const std::string& xml) {
  for (const std::string_view element : xml_elements(xml, "Contents")) {
    const std::string key = xml_text(element, "Key").value_or("");
    const std::string size = xml_text(element, "Size").value_or("");
    S3Object object;
    const auto [end, failed] =
        std::from_chars(size.data(), size.data() + size.size(), object.bytes);
    const bool is_number = failed == std::errc() && end == size.data() + size.size();
    if (!is_number || !key.starts_with(listing->prefix)) continue;
    object.key = key.substr(x_options.url.prefix.size());
    listing->objects.push_back(std::move(object));
  }
  const bool goes_on = xml_text(xml, "IsTruncated").value_or("") == "true";
  std::string token = xml_text(xml, "NextContinuationToken").value_or("");
  if (!goes_on) return listing->done(std::move(listing->objects));
  if (token.empty() || token == listing->token || listing->objects.size() > kListedMax)
    return listing->done(corrupt(x_place + ": a list that does not end"));
  listing->token = std::move(token);
  next_page(listing);
}

// --- puts

void S3Client::put(S3Put put) {
  if (put.body.size() > x_options.part_bytes) return put_in_parts(std::move(put));
  const auto call = make_call("PUT", put.key, put.deadline);
  call->body = put.body;
  call->done = [hold = std::move(put.hold), done = std::move(put.done)](
                   const Result<HttpResponse>& answer) { done(answer.status()); };
  x_loop->run([this, call] { start(call); });
}

void S3Client::put_in_parts(S3Put put) {
  const auto upload = std::make_shared<Upload>();
  upload->put = std::move(put);
  const uint64_t bytes = upload->put.body.size();
  upload->etags.resize((bytes + x_options.part_bytes - 1) / x_options.part_bytes);
  const auto call = make_call("POST", upload->put.key, upload->put.deadline);
  call->query = {{"uploads", ""}};
  call->done = [this, upload](const Result<HttpResponse>& answer) {
    if (!answer) return upload->put.done(answer.error());
    upload->id = xml_text(answer->body, "UploadId").value_or("");
    if (upload->id.empty())
      return upload->put.done(unavailable(x_place + ": an upload without an id"));
    send_parts(upload);
  };
  x_loop->run([this, call] { start(call); });
}

void S3Client::send_parts(const std::shared_ptr<Upload>& upload) {
  const auto& body = upload->put.body;
  while (upload->failure.is_ok() && upload->next < upload->etags.size() &&
         upload->under_way < kPartsAtOnce) {
    const size_t part = upload->next++;
    ++upload->under_way;
    const auto call = make_call("PUT", upload->put.key, upload->put.deadline);
    const uint64_t from = part * x_options.part_bytes;
    call->body = body.subspan(from, std::min<uint64_t>(x_options.part_bytes, body.size() - from));
    call->query = {{"partNumber", std::to_string(part + 1)}, {"uploadId", upload->id}};
    call->done = [this, upload, part](const Result<HttpResponse>& answer) {
      on_part(upload, part, answer);
    };
    x_loop->run([this, call] { start(call); });
  }
}

void S3Client::on_part(const std::shared_ptr<Upload>& upload, size_t part,
                       const Result<HttpResponse>& answer) {
  --upload->under_way;
  if (answer) {
    ++upload->done;
    upload->etags[part] = answer->etag;
  } else if (upload->failure.is_ok()) {
    upload->failure = answer.error();
  }
  if (!upload->failure.is_ok()) {
    if (upload->under_way == 0) abort(upload, upload->failure);
    return;
  }
  if (upload->done == upload->etags.size()) return complete(upload);
  send_parts(upload);
}

// May say 200 and fail nevertheless: then its body names an error.
void S3Client::complete(const std::shared_ptr<Upload>& upload) {
  const auto body = std::make_shared<std::string>("<CompleteMultipartUpload>");
  for (size_t part = 0; part < upload->etags.size(); ++part)
    *body += "<Part><PartNumber>" + std::to_string(part + 1) + "</PartNumber><ETag>" +
             upload->etags[part] + "</ETag></Part>";
  *body += "</CompleteMultipartUpload>";
  const auto call = make_call("POST", upload->put.key, upload->put.deadline);
  call->query = {{"uploadId", upload->id}};
  call->headers["content-type"] = "application/xml";
  call->body = std::as_bytes(std::span(*body));
  call->done = [this, upload, body](const Result<HttpResponse>& answer) {
    if (!answer) return abort(upload, answer.error());
    if (xml_text(answer->body, "Code") && !xml_text(answer->body, "ETag"))
      return abort(upload, s3_error(500, answer->body, x_place).status);
    upload->put.done(Status::ok());
  };
  x_loop->run([this, call] { start(call); });
}

// Parts that nobody completes would be paid for. Where this fails too, the bucket's own rule for
// unfinished uploads has to end it.
void S3Client::abort(const std::shared_ptr<Upload>& upload, const Status& why) {
  constexpr Nanos kWithin = std::chrono::seconds(10);
  const auto call = make_call("DELETE", upload->put.key, x_clock.now() + kWithin);
  call->query = {{"uploadId", upload->id}};
  call->done = [upload, why](const Result<HttpResponse>&) { upload->put.done(why); };
  x_loop->run([this, call] { start(call); });
}

}  // namespace tarn::object
