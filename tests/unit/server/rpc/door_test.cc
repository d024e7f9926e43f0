// Who is turned away before a lane knows of him: told why, and counted by door and cause as
// Prometheus reads it.
#include "server/rpc/door.h"

#include <gtest/gtest.h>

#include "common/base/free_port.h"
#include "tests/unit/metrics/http_client.h"
#include "tests/unit/metrics/prometheus_text.h"
#include "tests/unit/server/rpc/server_rig.h"

namespace tarn::server {
namespace {

class Doors : public ServerTest {
 protected:
  void SetUp() override {
    ServerOptions made = options("s1", "");
    x_metrics_port = free_port();
    made.metrics_listen = "127.0.0.1:" + std::to_string(x_metrics_port);
    x_server = &start_settled(made);
  }

  using Channel = std::shared_ptr<grpc::Channel>;
  Channel channel_of(const rpc::TlsMaterial& material) const {
    return rpc::open_channel(x_server->advertised(), auth::Role::server, material).value();
  }
  // Knows the cluster's CA, and shows a token that ended an hour ago.
  Channel latecomer() const {
    const auto secrets = auth::SecretsDir::open(secrets_dir()).value();
    rpc::TlsMaterial material;
    material.ca_pem = secrets.ca_pem().value();
    const int64_t end = system_clock().unix_ms() - 3'600'000;
    material.token =
        secrets.token_signer().value().sign(identity(auth::Role::tenant, "acme"), end).value();
    return channel_of(material);
  }

  static Status connect(const Channel& channel) {
    grpc::ClientContext context;
    rpc::set_timeout(context, Millis(5000));
    v1::ConnectRequest request;
    v1::ConnectResponse response;
    return rpc::from_grpc(
        v1::StorageControl::NewStub(channel)->Connect(&context, request, &response));
  }
  // How a stream that sends nothing ends.
  static Status open_bulk(const Channel& channel) {
    grpc::ClientContext context;
    rpc::set_timeout(context, Millis(5000));
    return rpc::from_grpc(v1::StorageBulk::NewStub(channel)->Exchange(&context)->Finish());
  }

  // All of tarn_connections_refused_total: by "door cause".
  std::map<std::string, double> refused() const {
    const std::string page = metrics::body_of(metrics::get(x_metrics_port));
    metrics::PrometheusText reader;
    const auto families = reader.parse(page);
    EXPECT_TRUE(families.has_value()) << reader.error();
    std::map<std::string, double> found;
    const auto family = families->find("tarn_connections_refused_total");
    if (family == families->end()) return found;
    for (const auto& [name_and_labels, value] : family->second.samples) {
      const metrics::LabelMap& labels = name_and_labels.second;
      found[labels.at("door") + " " + labels.at("cause")] = value;
    }
    return found;
  }

  uint16_t x_metrics_port = 0;
  Server* x_server = nullptr;
};

using Counts = std::map<std::string, double>;

TEST_F(Doors, WhoShowsNoValidCredentialIsCountedAtTheDoorWhereHeStood) {
  EXPECT_EQ(refused(), Counts{});
  const Channel nobody = channel_of(nothing_to_show());
  for (const auto& channel : {nobody, latecomer()}) {
    const Status why = open_bulk(channel);
    EXPECT_EQ(why.code(), Code::unauthenticated) << why.to_string();
  }
  EXPECT_EQ(refused(), (Counts{{"bulk unauthenticated", 2}}));
  EXPECT_EQ(connect(nobody).code(), Code::unauthenticated);
  EXPECT_EQ(refused(), (Counts{{"bulk unauthenticated", 2}, {"connect unauthenticated", 1}}));
}

TEST_F(Doors, WhoIsLetInIsNotCountedWhateverHeDoesThen) {
  const Channel tenant = channel_of(material_of(auth::Role::tenant, "acme"));
  EXPECT_EQ(open_bulk(tenant).code(), Code::invalid_argument) << "a stream without its port";
  TestClient client(x_router, x_server->advertised(), fabric::Kind::grpc);
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  EXPECT_EQ(client.put_in_time(1, 1000), Code::ok);
  EXPECT_EQ(refused(), Counts{});
}

TEST_F(Doors, ATicketThatDoesNotHoldIsCountedAtTheDoorOfConnect) {
  TestClient client(x_router, x_server->advertised(), fabric::Kind::grpc);
  EXPECT_EQ(client.connect(client.ticket("evil")).code(), Code::permission_denied);
  EXPECT_EQ(client.connect(client.ticket("acme", -3'600'000)).code(), Code::unauthenticated);
  EXPECT_EQ(connect(channel_of(material_of(auth::Role::tenant, "acme"))).code(),
            Code::invalid_argument)
      << "no offers";
  EXPECT_EQ(refused(), (Counts{{"connect permission_denied", 1},
                               {"connect unauthenticated", 1},
                               {"connect invalid_argument", 1}}));
}

}  // namespace
}  // namespace tarn::server
