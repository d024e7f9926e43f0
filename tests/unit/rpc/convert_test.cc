#include "common/rpc/convert.h"

#include <gtest/gtest.h>

#include "common/rpc/credentials.h"
#include "common/rpc/status.h"

namespace tarn::rpc {
namespace {

ring::ClusterConfig sample_config() {
  ring::ClusterConfig config;
  config.epoch = {7};
  config.cluster = "c";
  config.members.push_back(
      {{1}, "s1", "127.0.0.1:7001", {11}, 100, "rack-a", ring::MemberState::up, 2});
  config.members.push_back(
      {{2}, "s2", "127.0.0.1:7002", {12}, 200, "rack-b", ring::MemberState::draining, 1});
  config.slots[3] = {{1}, {{1}, {2}}, {}};
  config.ticket_keys.push_back({9, std::string(kTicketSecretBytes, 'k'), 123});
  config.revocations["acme"] = 4;
  config.floors.push_back({block::tenant_id("acme"), {}, {5}});
  return config;
}

TEST(Convert, config_survives_the_round_trip) {
  const auto config = sample_config();
  const auto back = from_proto(to_proto(config));
  ASSERT_TRUE(back.has_value()) << back.error().to_string();
  EXPECT_EQ(*back, config);
}

TEST(Convert, config_that_breaks_an_invariant_is_refused_with_the_field) {
  auto message = to_proto(sample_config());
  message.mutable_slots(3)->set_primary(77);
  EXPECT_EQ(from_proto(message).error().code(), Code::invalid_argument);
  message = to_proto(sample_config());
  message.mutable_floors(0)->set_tenant("short");
  const auto refused = from_proto(message);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message().find("tenant"), std::string::npos);
}

TEST(Convert, space_spec_survives_the_round_trip) {
  block::SpaceSpec spec;
  spec.model = "llama";
  spec.kind = block::SpaceKind::flat;
  spec.extent_blocks = 8;
  EXPECT_EQ(from_proto(to_proto(spec)), spec);
  EXPECT_EQ(space_id_from(to_bytes(block::space_id(spec))).value(), block::space_id(spec));
  EXPECT_FALSE(space_id_from("too short").has_value());
}

TEST(Status, our_code_travels_whole) {
  for (int i = 0; i < kCodeCount; ++i) {
    const Status status(static_cast<Code>(i), i == 0 ? "" : "why");
    EXPECT_EQ(from_grpc(to_grpc(status)), status);
    EXPECT_EQ(from_outcome(to_outcome(status.code())), status.code());
  }
}

TEST(Status, a_foreign_status_is_mapped_and_hostile_details_are_not_trusted) {
  EXPECT_EQ(from_grpc({grpc::StatusCode::UNAVAILABLE, "gone"}).code(), Code::unavailable);
  EXPECT_EQ(from_grpc({grpc::StatusCode::NOT_FOUND, "x", std::string("tarn:\xff")}).code(),
            Code::not_found);
  EXPECT_EQ(from_grpc({grpc::StatusCode::NOT_FOUND, "x", std::string("tarn:\0", 6)}).code(),
            Code::not_found);
}

TEST(Channel, plain_tcp_is_for_loopback_only) {
  EXPECT_TRUE(is_loopback("127.0.0.1:70"));
  EXPECT_TRUE(is_loopback("[::1]:70"));
  EXPECT_TRUE(is_loopback("localhost:70"));
  EXPECT_FALSE(is_loopback("10.0.0.1:70"));
  TlsMaterial material;
  material.insecure_loopback = true;
  EXPECT_EQ(open_channel("10.0.0.1:70", auth::Role::router, material).error().code(),
            Code::invalid_argument);
  EXPECT_TRUE(open_channel("127.0.0.1:70", auth::Role::router, material).has_value());
}

TEST(Channel, missing_certificates_are_named) {
  EXPECT_EQ(server_credentials({}).error().code(), Code::invalid_argument);
  EXPECT_EQ(open_channel("h:1", auth::Role::server, {}).error().code(), Code::invalid_argument);
}

}  // namespace
}  // namespace tarn::rpc
