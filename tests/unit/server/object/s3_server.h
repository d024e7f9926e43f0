#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <string>

#include "server/object/s3/s3_client.h"

namespace tarn::object {

// A real S3 server as a process of the test (s3_server.py). Ends with this.
class S3Server {
 public:
  explicit S3Server(const std::string& tls_file = "", int port = 0) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe(in.data()) != 0 || ::pipe(out.data()) != 0) std::abort();
    const std::string python = std::string(TARN_SOURCE_DIR) + "/build/venv/bin/python";
    const std::string script =
        std::string(TARN_SOURCE_DIR) + "/tests/unit/server/object/s3_server.py";
    const std::string wanted_port = std::to_string(port);
    ::setenv("no_proxy", "127.0.0.1", 1);
    x_pid = ::fork();
    if (x_pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      ::unsetenv("LD_PRELOAD");
      ::execl(python.c_str(), python.c_str(), "-B", script.c_str(), "--tls", tls_file.c_str(),
              "--port", wanted_port.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    x_in = in[1];
    std::FILE* const file = ::fdopen(out[0], "r");
    if (std::fscanf(file, "ready %d", &x_port) != 1) ADD_FAILURE() << "no S3 server: scripts/deps?";
    std::fclose(file);
    x_scheme = tls_file.empty() ? "http" : "https";
  }
  ~S3Server() {
    kill();
    ::close(x_in);
  }
  S3Server(const S3Server&) = delete;
  S3Server& operator=(const S3Server&) = delete;

  void kill() {
    if (x_pid <= 0) return;
    ::kill(x_pid, SIGKILL);
    ::waitpid(x_pid, nullptr, 0);
    x_pid = 0;
  }
  void stop() const { ::kill(x_pid, SIGSTOP); }
  void go_on() const { ::kill(x_pid, SIGCONT); }

  int port() const { return x_port; }
  std::string endpoint() const { return x_scheme + "://127.0.0.1:" + std::to_string(x_port); }

  // The next requests meet it, as s3_server.py has it.
  void fault(const std::string& json) const { (void)exchange("POST", "/-/faults", json); }
  std::string counts() const { return exchange("GET", "/-/counts", ""); }

  // A bucket, made by a signed request as anybody would.
  void make_bucket(const std::string& name) const {
    SignedRequest request;
    request.method = "PUT";
    request.path = "/" + name;
    request.headers["host"] = "127.0.0.1:" + std::to_string(x_port);
    request.payload_sha256 = kUnsignedPayload;
    ASSERT_TRUE(sign(request, {"test-id", "test-secret", ""}, "us-east-1", system_clock().unix_ms())
                    .is_ok());
    std::vector<std::string> headers;
    for (const auto& [key, value] : request.headers)
      headers.push_back(key + ": " + value);
    (void)exchange("PUT", request.path, "", headers);
  }

  // What a client of this server is told, but for its credentials, which are good.
  S3Options options(const std::string& url) const {
    S3Options made;
    made.url = ObjectUrl::parse(url).value();
    made.endpoint = endpoint();
    made.is_path_style = true;
    made.environment = [](const std::string& name) -> std::string {
      if (name == "AWS_ACCESS_KEY_ID") return "test-id";
      return name == "AWS_SECRET_ACCESS_KEY" ? "test-secret" : "";
    };
    made.backoff = std::chrono::milliseconds(5);
    return made;
  }

 private:
  std::string exchange(const std::string& method, const std::string& path, const std::string& body,
                       std::vector<std::string> headers = {}) const {
    auto loop = HttpLoop::open({}).value();
    std::promise<Result<HttpResponse>> answer;
    HttpRequest request;
    request.method = method;
    request.url = endpoint() + path;
    request.headers = std::move(headers);
    request.body = std::as_bytes(std::span(body));
    request.deadline = system_clock().now() + std::chrono::seconds(20);
    request.done = [&](Result<HttpResponse> got) { answer.set_value(std::move(got)); };
    loop->submit(std::move(request));
    const auto got = answer.get_future().get();
    EXPECT_TRUE(got) << got.status().to_string();
    if (!got) return "";
    EXPECT_EQ(got->code, 200) << got->body;
    return got->body;
  }

  pid_t x_pid = 0;
  int x_in = -1;
  int x_port = 0;
  std::string x_scheme;
};

}  // namespace tarn::object
