#include "server/object/s3/http_loop.h"

#include <curl/curl.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <map>
#include <utility>

#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/base/thread_name.h"

namespace tarn::object {
namespace {

constexpr int kSleepMsMax = 1000;
// Bytes that libcurl hands over, or takes, at once.
constexpr long kBufferBytes = 256 * 1024;

Status closed() {
  return unavailable("object store: the server is closing");
}

Status too_late() {
  return deadline_exceeded("object store: no answer in time");
}

Status status_of(CURLcode code, const std::string& url, const char* words) {
  const std::string text = "object store: " + url.substr(0, url.find('?')) + ": " +
                           (*words != '\0' ? words : ::curl_easy_strerror(code));
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return deadline_exceeded(text);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return permission_denied(text + ": AWS_CA_BUNDLE names the authorities to trust");
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return invalid_argument(text);
    default:
      return unavailable(text);
  }
}

// libcurl keeps state of the process.
bool start_curl() {
  static const bool is_started = ::curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return is_started;
}

}  // namespace

// One request that libcurl has. Stays where it is.
struct HttpLoop::Exchange {
  explicit Exchange(HttpRequest wanted) : request(std::move(wanted)) {}
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  ~Exchange() {
    ::curl_slist_free_all(headers);
    ::curl_easy_cleanup(easy);
  }

  static size_t on_bytes(char* bytes, size_t size, size_t count, void* self) {
    return static_cast<Exchange*>(self)->take({reinterpret_cast<std::byte*>(bytes), size * count});
  }
  static size_t on_header(char* bytes, size_t size, size_t count, void* self) {
    static_cast<Exchange*>(self)->take_header({bytes, size * count});
    return size * count;
  }
  static size_t on_send(char* into, size_t size, size_t count, void* self) {
    return static_cast<Exchange*>(self)->give({reinterpret_cast<std::byte*>(into), size * count});
  }
  static int on_seek(void* self, curl_off_t offset, int) {
    static_cast<Exchange*>(self)->sent = static_cast<size_t>(offset);
    return CURL_SEEKFUNC_OK;
  }

  size_t take(std::span<const std::byte> bytes);
  void take_header(std::string_view line);
  size_t give(std::span<std::byte> into);
  void prepare(const HttpLoopOptions& options);
  void prepare_method();

  HttpRequest request;
  HttpResponse response;
  CURL* easy = ::curl_easy_init();
  curl_slist* headers = nullptr;
  size_t sent = 0;
  char words[CURL_ERROR_SIZE] = {};
};

size_t HttpLoop::Exchange::take(std::span<const std::byte> bytes) {
  ::curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &response.code);
  if (response.is_success() && request.sink) return request.sink(bytes) ? bytes.size() : 0;
  if (response.body.size() + bytes.size() > kBodyMax) return 0;
  response.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return bytes.size();
}

void HttpLoop::Exchange::take_header(std::string_view line) {
  constexpr std::string_view kEtag = "etag:";
  const bool is_etag = line.size() > kEtag.size() &&
                       std::ranges::equal(line.substr(0, kEtag.size()), kEtag, {}, [](char c) {
                         return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
                       });
  if (!is_etag) return;
  const size_t first = line.find('"');
  const size_t last = line.rfind('"');
  if (first < last) response.etag = line.substr(first, last - first + 1);
}

size_t HttpLoop::Exchange::give(std::span<std::byte> into) {
  const auto next = request.body.subspan(std::min(sent, request.body.size()));
  const size_t bytes = std::min(next.size(), into.size());
  std::copy_n(next.begin(), bytes, into.begin());
  sent += bytes;
  return bytes;
}

void HttpLoop::Exchange::prepare_method() {
  const std::string& method = request.method;
  if (method == "HEAD") ::curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  if (method == "PUT" || method == "POST") {
    ::curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    ::curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method.c_str());
    ::curl_easy_setopt(easy, CURLOPT_READFUNCTION, &Exchange::on_send);
    ::curl_easy_setopt(easy, CURLOPT_READDATA, this);
    ::curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, &Exchange::on_seek);
    ::curl_easy_setopt(easy, CURLOPT_SEEKDATA, this);
    ::curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
                       static_cast<curl_off_t>(request.body.size()));
    ::curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, kBufferBytes);
  }
  if (method == "DELETE") ::curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "DELETE");
}

void HttpLoop::Exchange::prepare(const HttpLoopOptions& options) {
  const auto left =
      std::chrono::duration_cast<Millis>(request.deadline - options.clock->now()).count();
  const auto connect = std::chrono::duration_cast<Millis>(options.connect_within).count();
  ::curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  ::curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  ::curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  ::curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  ::curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                     static_cast<long>(std::clamp<int64_t>(left, 1, INT32_MAX)));
  ::curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(std::clamp<int64_t>(std::min(left, connect), 1, INT32_MAX)));
  ::curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kBufferBytes);
  ::curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, words);
  ::curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Exchange::on_bytes);
  ::curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
  ::curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Exchange::on_header);
  ::curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  ::curl_easy_setopt(easy, CURLOPT_PRIVATE, this);
  if (!options.ca_file.empty()) ::curl_easy_setopt(easy, CURLOPT_CAINFO, options.ca_file.c_str());
  for (const std::string& header : request.headers)
    headers = ::curl_slist_append(headers, header.c_str());
  headers = ::curl_slist_append(headers, "Expect:");
  ::curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  prepare_method();
}

struct HttpLoop::State {
  explicit State(HttpLoopOptions made) : options(std::move(made)) {}

  const HttpLoopOptions options;
  CURLM* multi = nullptr;
  std::atomic<bool> is_closing{false};
  Mutex mutex;
  std::vector<HttpRequest> new_requests TARN_GUARDED_BY(mutex);
  std::vector<std::pair<Instant, std::function<void()>>> new_tasks TARN_GUARDED_BY(mutex);
  bool is_closed TARN_GUARDED_BY(mutex) = false;
  // The thread's.
  std::deque<HttpRequest> waiting;
  std::multimap<Instant, std::function<void()>> tasks;
  std::map<Exchange*, std::unique_ptr<Exchange>> under_way;
};

Result<std::unique_ptr<HttpLoop>> HttpLoop::open(HttpLoopOptions options) {
  auto state = std::make_unique<State>(std::move(options));
  if (start_curl()) state->multi = ::curl_multi_init();
  if (state->multi == nullptr) return unavailable("object store: libcurl cannot begin");
  auto loop = std::unique_ptr<HttpLoop>(new HttpLoop(std::move(state)));
  loop->x_thread = std::thread([raw = loop.get()] { raw->serve(); });
  return loop;
}

HttpLoop::HttpLoop(std::unique_ptr<State> state) : x_state(std::move(state)) {}

HttpLoop::~HttpLoop() {
  close();
  ::curl_multi_cleanup(x_state->multi);
}

void HttpLoop::submit(HttpRequest request) {
  TARN_CHECK(request.done != nullptr);
  {
    const MutexLock lock(x_state->mutex);
    if (!x_state->is_closed) {
      x_state->new_requests.push_back(std::move(request));
      ::curl_multi_wakeup(x_state->multi);
      return;
    }
  }
  request.done(closed());
}

void HttpLoop::run_at(Instant when, std::function<void()> task) {
  {
    const MutexLock lock(x_state->mutex);
    if (!x_state->is_closed) {
      x_state->new_tasks.emplace_back(when, std::move(task));
      ::curl_multi_wakeup(x_state->multi);
      return;
    }
  }
  task();
}

void HttpLoop::close() {
  x_state->is_closing.store(true, std::memory_order_release);
  if (!x_thread.joinable()) return;
  ::curl_multi_wakeup(x_state->multi);
  x_thread.join();
}

void HttpLoop::serve() {
  set_thread_name("tarn-object");
  while (!x_state->is_closing.load(std::memory_order_acquire)) {
    take_new();
    run_due();
    begin_waiting();
    int running = 0;
    ::curl_multi_perform(x_state->multi, &running);
    finish_ended();
    ::curl_multi_poll(x_state->multi, nullptr, 0, sleep_ms(), nullptr);
  }
  end_all();
}

void HttpLoop::take_new() {
  const MutexLock lock(x_state->mutex);
  std::ranges::move(x_state->new_requests, std::back_inserter(x_state->waiting));
  x_state->new_requests.clear();
  for (auto& [when, task] : x_state->new_tasks)
    x_state->tasks.emplace(when, std::move(task));
  x_state->new_tasks.clear();
}

void HttpLoop::run_due() {
  auto& tasks = x_state->tasks;
  const Instant now = x_state->options.clock->now();
  while (!tasks.empty() && tasks.begin()->first <= now) {
    const auto task = std::move(tasks.begin()->second);
    tasks.erase(tasks.begin());
    task();
  }
}

// First come first served. What has waited too long, or beyond the limit, ends.
void HttpLoop::begin_waiting() {
  auto& waiting = x_state->waiting;
  while (waiting.size() > x_state->options.waiting_max) {
    const auto done = std::move(waiting.back().done);
    waiting.pop_back();
    done(overloaded("object store: too many requests wait"));
  }
  const Instant now = x_state->options.clock->now();
  std::vector<HttpRequest> late;
  std::erase_if(waiting, [&](HttpRequest& request) {
    if (request.deadline > now) return false;
    late.push_back(std::move(request));
    return true;
  });
  for (const HttpRequest& request : late)
    request.done(too_late());
  while (!waiting.empty() && x_state->under_way.size() < x_state->options.in_flight_max) {
    HttpRequest next = std::move(waiting.front());
    waiting.pop_front();
    begin(std::move(next));
  }
}

void HttpLoop::begin(HttpRequest request) {
  auto exchange = std::make_unique<Exchange>(std::move(request));
  if (exchange->easy == nullptr)
    return exchange->request.done(unavailable("object store: libcurl has no room"));
  exchange->prepare(x_state->options);
  const CURLMcode added = ::curl_multi_add_handle(x_state->multi, exchange->easy);
  if (added != CURLM_OK)
    return exchange->request.done(
        unavailable(std::string("object store: ") + ::curl_multi_strerror(added)));
  Exchange* const raw = exchange.get();
  x_state->under_way.emplace(raw, std::move(exchange));
}

void HttpLoop::finish_ended() {
  int left = 0;
  while (const CURLMsg* message = ::curl_multi_info_read(x_state->multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode outcome = message->data.result;
    Exchange* raw = nullptr;
    ::curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &raw);
    ::curl_multi_remove_handle(x_state->multi, raw->easy);
    const auto found = x_state->under_way.find(raw);
    TARN_CHECK(found != x_state->under_way.end());
    const auto exchange = std::move(found->second);
    x_state->under_way.erase(found);
    if (outcome == CURLE_OK) {
      ::curl_easy_getinfo(raw->easy, CURLINFO_RESPONSE_CODE, &raw->response.code);
      raw->request.done(std::move(raw->response));
    } else {
      raw->request.done(status_of(outcome, raw->request.url, raw->words));
    }
  }
}

// What these call may ask for more: that is refused, or run at once.
void HttpLoop::end_all() {
  {
    const MutexLock lock(x_state->mutex);
    x_state->is_closed = true;
  }
  take_new();
  for (auto& [raw, exchange] : std::exchange(x_state->under_way, {})) {
    ::curl_multi_remove_handle(x_state->multi, raw->easy);
    raw->request.done(closed());
  }
  for (const HttpRequest& request : std::exchange(x_state->waiting, {}))
    request.done(closed());
  for (const auto& [when, task] : std::exchange(x_state->tasks, {}))
    task();
}

int HttpLoop::sleep_ms() const {
  if (x_state->tasks.empty()) return x_state->waiting.empty() ? kSleepMsMax : 10;
  const Nanos left = x_state->tasks.begin()->first - x_state->options.clock->now();
  const int64_t ms = std::chrono::duration_cast<Millis>(left).count() + 1;
  return static_cast<int>(std::clamp<int64_t>(ms, 0, x_state->waiting.empty() ? kSleepMsMax : 10));
}

}  // namespace tarn::object
