#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "benchmarks/peers/raw/text_stores.h"

namespace tarn::peers {
namespace {

using testing::HasSubstr;

// A server that plays one script on its first connection: takes exactly `question`, then sends
// `answer` in pieces of `piece_bytes`, and closes.
class ScriptedServer {
 public:
  ScriptedServer(std::string question, std::string answer, size_t piece_bytes)
      : x_question(std::move(question)), x_answer(std::move(answer)), x_piece_bytes(piece_bytes) {
    x_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(x_listener, any, size), 0);
    EXPECT_EQ(listen(x_listener, 1), 0);
    EXPECT_EQ(getsockname(x_listener, any, &size), 0);
    x_address = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    x_thread = std::thread([this] { play(); });
  }
  ~ScriptedServer() {
    x_thread.join();
    close(x_listener);
  }

  const std::string& address() const { return x_address; }
  // Valid once the store is gone and the script has ended.
  std::string heard() {
    x_thread.join();
    x_thread = std::thread([] {});
    return x_heard;
  }

 private:
  void play() {
    const int peer = accept(x_listener, nullptr, nullptr);
    std::array<char, 512> buffer{};
    while (x_heard.size() < x_question.size()) {
      const ssize_t got = recv(peer, buffer.data(), buffer.size(), 0);
      if (got <= 0) break;
      x_heard.append(buffer.data(), static_cast<size_t>(got));
    }
    for (size_t at = 0; at < x_answer.size(); at += x_piece_bytes) {
      const size_t bytes = std::min(x_piece_bytes, x_answer.size() - at);
      if (send(peer, x_answer.data() + at, bytes, MSG_NOSIGNAL) < 0) break;
    }
    close(peer);
  }

  const std::string x_question;
  const std::string x_answer;
  const size_t x_piece_bytes;
  int x_listener = -1;
  std::string x_address;
  std::string x_heard;
  std::thread x_thread;
};

struct Dialect {
  const char* name;
  std::unique_ptr<TextStore> (*make)();
  std::string put, get, exists;  // requests for the key "k" and the value "VALUE"
  std::string stored, value, miss, there, not_there;
};

std::vector<Dialect> dialects() {
  return {{"memcached", memcached_store, "ms k 5\r\nVALUE\r\n", "mg k v\r\n", "mg k\r\n", "HD\r\n",
           "VA 5\r\nVALUE\r\n", "EN\r\n", "HD\r\n", "EN\r\n"},
          {"resp", resp_store, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nVALUE\r\n",
           "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "*2\r\n$6\r\nEXISTS\r\n$1\r\nk\r\n", "+OK\r\n",
           "$5\r\nVALUE\r\n", "$-1\r\n", ":1\r\n", ":0\r\n"}};
}

std::span<std::byte> bytes_of(std::string& text) {
  return {reinterpret_cast<std::byte*>(text.data()), text.size()};
}

TEST(PeersTextStore, PipelinedPutsAndGetsAreWhatTheProtocolSaysInPiecesOfAnySize) {
  for (const Dialect& dialect : dialects()) {
    for (const size_t piece_bytes : {1u, 3u, 1000u}) {
      SCOPED_TRACE(std::string(dialect.name) + " " + std::to_string(piece_bytes));
      const std::string question = dialect.put + dialect.get + dialect.get;
      ScriptedServer server(question, dialect.stored + dialect.value + dialect.value, piece_bytes);
      auto store = dialect.make();
      ASSERT_TRUE(store->connect(server.address()).is_ok());
      std::string put = "VALUE";
      std::string first(5, '.');
      std::string second(5, '.');
      ASSERT_TRUE(store->begin_put(7, "k", bytes_of(put)).is_ok());
      ASSERT_TRUE(store->begin_get(8, "k", bytes_of(first)).is_ok());
      ASSERT_TRUE(store->begin_get(9, "k", bytes_of(second)).is_ok());
      for (const uint32_t slot : {7u, 8u, 9u})
        EXPECT_EQ(store->wait().value(), slot);
      EXPECT_EQ(first + second, "VALUEVALUE");
      store.reset();
      EXPECT_EQ(server.heard(), question);
    }
  }
}

TEST(PeersTextStore, AMissAWrongSizeAndAnErrorAreNoSuccess) {
  for (const Dialect& dialect : dialects()) {
    for (const std::string& answer : {dialect.miss, std::string("ERROR out of memory\r\n")}) {
      ScriptedServer server(dialect.get, answer, 1000);
      auto store = dialect.make();
      ASSERT_TRUE(store->connect(server.address()).is_ok());
      std::string place(5, '.');
      ASSERT_TRUE(store->begin_get(0, "k", bytes_of(place)).is_ok());
      EXPECT_EQ(store->wait().error().code(), Code::not_found);
      EXPECT_EQ(place, ".....");
    }
    ScriptedServer server(dialect.get, dialect.value, 1000);
    auto store = dialect.make();
    ASSERT_TRUE(store->connect(server.address()).is_ok());
    std::string small(4, '.');
    ASSERT_TRUE(store->begin_get(0, "k", bytes_of(small)).is_ok());
    EXPECT_FALSE(store->wait());
  }
}

TEST(PeersTextStore, ARefusedPutIsToldInTheServersWords) {
  for (const Dialect& dialect : dialects()) {
    ScriptedServer server(dialect.put, "SERVER_ERROR out of memory storing object\r\n", 1000);
    auto store = dialect.make();
    ASSERT_TRUE(store->connect(server.address()).is_ok());
    std::string value = "VALUE";
    ASSERT_TRUE(store->begin_put(0, "k", bytes_of(value)).is_ok());
    EXPECT_THAT(store->wait().error().message(), HasSubstr("out of memory"));
  }
}

TEST(PeersTextStore, ExistsCountsWhatIsThere) {
  for (const Dialect& dialect : dialects()) {
    const std::string question = dialect.exists + dialect.exists + dialect.exists;
    ScriptedServer server(question, dialect.there + dialect.not_there + dialect.there, 2);
    auto store = dialect.make();
    ASSERT_TRUE(store->connect(server.address()).is_ok());
    const std::vector<std::string> keys = {"k", "k", "k"};
    EXPECT_EQ(store->exists(keys).value(), 2u);
    store.reset();
    EXPECT_EQ(server.heard(), question);
  }
}

TEST(PeersTextStore, AServerThatIsGoneIsUnavailable) {
  for (const Dialect& dialect : dialects()) {
    ScriptedServer server(dialect.get, dialect.value.substr(0, 7), 1000);
    auto store = dialect.make();
    ASSERT_TRUE(store->connect(server.address()).is_ok());
    std::string place(5, '.');
    ASSERT_TRUE(store->begin_get(0, "k", bytes_of(place)).is_ok());
    EXPECT_EQ(store->wait().error().code(), Code::unavailable);
  }
  for (const char* address : {"127.0.0.1", "somewhere:80", "127.0.0.1:x"}) {
    EXPECT_EQ(resp_store()->connect(address).code(), Code::invalid_argument) << address;
  }
}

}  // namespace
}  // namespace tarn::peers
