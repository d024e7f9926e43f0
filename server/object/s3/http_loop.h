#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace tarn::object {

// What came back. Value type.
struct HttpResponse {
  long code = 0;
  std::string body;  // what no sink took: answers without success, and all where there is no sink
  std::string etag;

  bool is_success() const { return code >= 200 && code < 300; }
};

// One exchange. Callbacks come on the loop's thread.
struct HttpRequest {
  std::string method;
  std::string url;
  std::vector<std::string> headers;  // "name: value"
  std::span<const std::byte> body;   // stays what it is until `done`
  // Bytes of an answer with success, as they come; false ends the exchange. Null: into the
  // response's body.
  std::function<bool(std::span<const std::byte>)> sink;
  Instant deadline = kNever;
  // Once, and nothing of the request is touched any more: the response, whatever its code;
  // unavailable (no connection, cut short, closed), deadline_exceeded, overloaded (too many wait),
  // permission_denied (the certificate is not trusted), invalid_argument (no such host's name).
  std::function<void(Result<HttpResponse>)> done;
};

struct HttpLoopOptions {
  size_t in_flight_max = 16;
  size_t waiting_max = 1024;  // of requests that are not begun
  Nanos connect_within = std::chrono::seconds(3);
  std::string ca_file;  // of certificate authorities; empty: the system's
  const Clock* clock = &system_clock();
};

// HTTP requests by libcurl, on a thread of its own (tarn-object). Thread-safe. Life: open (starts
// the thread), use, close (joins it; what is left ends as unavailable), destroy. Limits: the
// options', and kBodyMax bytes of an answer that no sink takes.
class HttpLoop {
 public:
  static constexpr size_t kBodyMax = 8u << 20;

  // Returns: the loop, unavailable (libcurl cannot begin).
  static Result<std::unique_ptr<HttpLoop>> open(HttpLoopOptions options);
  ~HttpLoop();
  HttpLoop(const HttpLoop&) = delete;
  HttpLoop& operator=(const HttpLoop&) = delete;

  // The request's done() follows in any case.
  void submit(HttpRequest request);

  // On the loop's thread, when the time has come, or when the loop closes.
  void run_at(Instant when, std::function<void()> task);
  void run(std::function<void()> task) { run_at({}, std::move(task)); }

  // Joins the thread; not from it. Idempotent.
  void close();

 private:
  struct State;
  struct Exchange;

  explicit HttpLoop(std::unique_ptr<State> state);

  void serve();
  void take_new();
  void run_due();
  void begin_waiting();
  void begin(HttpRequest request);
  void finish_ended();
  void end_all();
  int sleep_ms() const;

  const std::unique_ptr<State> x_state;
  std::thread x_thread;
};

}  // namespace tarn::object
