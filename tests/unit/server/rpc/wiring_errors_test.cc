// What an operator sees when a server cannot start: the item, and what is wrong with it.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "server/wiring.h"
#include "tests/unit/server/rpc/server_rig.h"

namespace tarn::server {
namespace {

// A port of loopback that somebody has.
class TakenPort {
 public:
  TakenPort() : x_fd(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(x_fd, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(x_fd, 1), 0);
    EXPECT_EQ(::getsockname(x_fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
    endpoint = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~TakenPort() { ::close(x_fd); }

  std::string endpoint;

 private:
  int x_fd;
};

struct BadOptions {
  const char* name;
  std::function<void(ServerOptions&)> bend;
  Code code;
  std::string says;
};

class WiringErrors : public ServerTest {
 protected:
  // Without routers, so that nothing but the options decides.
  ServerOptions good() {
    ServerOptions made = options("s1", "");
    made.routers.clear();
    return made;
  }

  void expect_refused(const BadOptions& bad) {
    ServerOptions made = good();
    bad.bend(made);
    const auto opened = Server::open(made);
    ASSERT_FALSE(opened.has_value()) << bad.name;
    EXPECT_EQ(opened.error().code(), bad.code) << bad.name << ": " << opened.error().to_string();
    EXPECT_NE(opened.error().message().find(bad.says), std::string::npos)
        << bad.name << ": " << opened.error().message();
  }
};

TEST_F(WiringErrors, OptionsThatDoNotFitAreNamed) {
  const BadOptions cases[] = {
      {"no name", [](auto& o) { o.name.clear(); }, Code::invalid_argument, "name"},
      {"no data", [](auto& o) { o.data_dir.clear(); }, Code::invalid_argument, "data_dir"},
      {"no secrets", [](auto& o) { o.secrets_dir.clear(); }, Code::invalid_argument, "tarn certs"},
      {"too little for its lanes", [](auto& o) { o.dram_bytes = 2 * 64 * kMiB - 1; },
       Code::invalid_argument, "dram_bytes"},
  };
  for (const BadOptions& each : cases)
    expect_refused(each);
}

TEST_F(WiringErrors, FoldersThatCannotBeUsedAreNamed) {
  std::ofstream(x_data + "/file") << "x";
  const BadOptions cases[] = {
      {"data below a file", [this](auto& o) { o.data_dir = x_data + "/file/data"; }, Code::internal,
       "data_dir"},
      {"secrets that are not there", [](auto& o) { o.secrets_dir = "/nowhere/secrets"; },
       Code::not_found, "/nowhere/secrets"},
      {"no certificate of that name", [](auto& o) { o.name = "s9"; }, Code::not_found, "s9"},
  };
  for (const BadOptions& each : cases)
    expect_refused(each);
}

TEST_F(WiringErrors, AddressesThatCannotBeHadAreNamed) {
  const TakenPort taken;
  const BadOptions cases[] = {
      {"taken", [&](auto& o) { o.listen = taken.endpoint; }, Code::unavailable, taken.endpoint},
      {"no address", [](auto& o) { o.listen = "256.1.1.1:99999"; }, Code::unavailable,
       "256.1.1.1:99999"},
      {"metrics taken", [&](auto& o) { o.metrics_listen = taken.endpoint; }, Code::unavailable,
       taken.endpoint},
      {"not on loopback without TLS",
       [](auto& o) {
         o.insecure_loopback = true;
         o.listen = "0.0.0.0:0";
       },
       Code::invalid_argument, "listen"},
  };
  for (const BadOptions& each : cases)
    expect_refused(each);
  EXPECT_TRUE(Server::open(good()).has_value()) << "nothing of the failed starts is left";
}

TEST_F(WiringErrors, AFolderServesOneServerAtATime) {
  auto first = Server::open(good());
  ASSERT_TRUE(first.has_value()) << first.error().to_string();
  expect_refused({"the same folder", [](auto&) {}, Code::internal, "lock"});
  (*first)->close();
  first->reset();
  EXPECT_TRUE(Server::open(good()).has_value());
}

TEST_F(WiringErrors, DamagedSessionLogsAreNotServed) {
  {
    auto first = Server::open(good());
    ASSERT_TRUE(first.has_value());
    (*first)->close();
  }
  const std::filesystem::path folder = x_data + "/s1/sessions";
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().filename().string().starts_with("MANIFEST")) {
      std::ofstream(file.path(), std::ios::trunc) << "rubbish";
    }
  }
  const auto opened = Server::open(good());
  ASSERT_FALSE(opened.has_value());
  EXPECT_NE(opened.error().message().find("session log"), std::string::npos)
      << opened.error().message();
}

TEST_F(WiringErrors, AnUnknownFabricDeviceFallsBackToGrpc) {
  ServerOptions made = options("s1", "no-such-device");
  Server& server = start(made);
  ASSERT_TRUE(until([&] { return server.epoch() > 0; }));
  TestClient client(x_router, server.advertised(), fabric::Kind::grpc);
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  EXPECT_EQ(client.put_in_time(1, 1000), Code::ok);
}

}  // namespace
}  // namespace tarn::server
