#include "cli/probe.h"

#include <array>
#include <atomic>
#include <csignal>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/program.h"

namespace tarn::cli {
namespace {

using testing::HasSubstr;

// Takes one connection on loopback and does with it what a test says.
class OnePeer {
 public:
  explicit OnePeer(std::function<void(int fd)> serve) {
    x_listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(x_listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(x_listener, 1), 0);
    socklen_t size = sizeof(address);
    ::getsockname(x_listener, reinterpret_cast<sockaddr*>(&address), &size);
    x_port = ntohs(address.sin_port);
    x_thread = std::thread([this, serve = std::move(serve)] {
      const int fd = ::accept(x_listener, nullptr, nullptr);
      if (fd < 0) return;
      serve(fd);
      ::close(fd);
    });
  }
  ~OnePeer() {
    ::shutdown(x_listener, SHUT_RDWR);
    x_thread.join();
    ::close(x_listener);
  }

  std::string address() const { return "127.0.0.1:" + std::to_string(x_port); }

 private:
  int x_listener = -1;
  uint16_t x_port = 0;
  std::thread x_thread;
};

void send_all(int fd, const std::string& text) {
  EXPECT_EQ(::send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

// Waits for the peer's first words, or its end.
void hear(int fd) {
  std::array<char, 256> words{};
  (void)::recv(fd, words.data(), words.size(), 0);
}

TEST(AskByTcp, gives_the_whole_answer_until_the_peer_closes) {
  OnePeer peer([](int fd) {
    hear(fd);
    send_all(fd, "in ");
    send_all(fd, "parts");
  });
  EXPECT_EQ(ask_by_tcp(peer.address(), "hello", Millis(5000)).value(), "in parts");
}

TEST(AskByTcp, without_a_request_only_knocks) {
  OnePeer peer([](int fd) { hear(fd); });
  EXPECT_EQ(ask_by_tcp(peer.address(), "", Millis(5000)).value(), "");
}

TEST(AskByTcp, a_peer_that_says_nothing_costs_the_timeout) {
  OnePeer peer([](int fd) {
    hear(fd);
    hear(fd);  // until the other side gives up
  });
  const auto answer = ask_by_tcp(peer.address(), "hello", Millis(50));
  EXPECT_EQ(answer.error().code(), Code::unavailable);
  EXPECT_THAT(answer.error().message(), HasSubstr("no answer in time"));
}

TEST(AskByTcp, a_peer_that_never_ends_is_cut_off) {
  OnePeer peer([](int fd) {
    hear(fd);
    const std::string much(4096, 'x');
    while (::send(fd, much.data(), much.size(), MSG_NOSIGNAL) > 0) {
    }
  });
  const auto answer = ask_by_tcp(peer.address(), "hello", Millis(5000));
  ASSERT_TRUE(answer.has_value());
  EXPECT_GE(answer->size(), size_t{64} << 10);
  EXPECT_LT(answer->size(), size_t{80} << 10);
}

TEST(AskByTcp, a_refusal_names_the_address) {
  const auto nobody = ask_by_tcp("127.0.0.1:1", "hello", Millis(1000));
  EXPECT_EQ(nobody.error().code(), Code::unavailable);
  EXPECT_THAT(nobody.error().message(), HasSubstr("127.0.0.1:1: "));
  EXPECT_EQ(ask_by_tcp("no port", "", Millis(10)).error().code(), Code::invalid_argument);
  const auto unknown = ask_by_tcp("no-such-host.invalid:1", "", Millis(1000));
  EXPECT_THAT(unknown.error().message(), HasSubstr("no-such-host.invalid"));
}

TEST(TryListen, a_port_in_use_is_told_apart_and_is_free_afterwards) {
  std::string address;
  {
    OnePeer peer([](int) {});
    address = peer.address();
    const auto taken = try_listen(address);
    EXPECT_EQ(taken.error().code(), Code::exists);
    EXPECT_THAT(taken.error().message(), HasSubstr(address));
  }
  EXPECT_TRUE(try_listen(address).has_value()) << address;
  EXPECT_TRUE(try_listen(address).has_value()) << "a look leaves nothing behind";
}

TEST(Program, output_beyond_the_limit_ends_it) {
  const auto text = read_program({"yes"}, Millis(10'000));
  EXPECT_EQ(text.error().code(), Code::unavailable);
}

TEST(Program, its_stderr_and_stdin_are_none_of_ours) {
  EXPECT_EQ(read_program({"sh", "-c", "echo noise >&2; cat; echo end"}, Millis(5000)).value(),
            "end\n");
}

TEST(Program, a_death_by_signal_is_a_failure) {
  const auto text = read_program({"sh", "-c", "echo some; kill -9 $$"}, Millis(5000));
  EXPECT_EQ(text.error().code(), Code::unavailable);
}

TEST(Program, words_are_not_read_by_a_shell) {
  EXPECT_EQ(read_program({"printf", "%s", "$HOME; `ls` * ?"}, Millis(5000)).value(),
            "$HOME; `ls` * ?");
}

}  // namespace
}  // namespace tarn::cli
