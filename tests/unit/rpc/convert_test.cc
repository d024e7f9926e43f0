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

// By other programs' codes: what the caller should do is what it would do after our own.
TEST(Status, each_foreign_code_asks_for_the_right_thing) {
  const std::pair<grpc::StatusCode, Code> rows[] = {
      {grpc::StatusCode::CANCELLED, Code::cancelled},
      {grpc::StatusCode::UNKNOWN, Code::internal},
      {grpc::StatusCode::INVALID_ARGUMENT, Code::invalid_argument},
      {grpc::StatusCode::DEADLINE_EXCEEDED, Code::deadline_exceeded},
      {grpc::StatusCode::NOT_FOUND, Code::not_found},
      {grpc::StatusCode::ALREADY_EXISTS, Code::exists},
      {grpc::StatusCode::PERMISSION_DENIED, Code::permission_denied},
      {grpc::StatusCode::RESOURCE_EXHAUSTED, Code::overloaded},
      {grpc::StatusCode::FAILED_PRECONDITION, Code::invalid_argument},
      {grpc::StatusCode::ABORTED, Code::conflict},
      {grpc::StatusCode::OUT_OF_RANGE, Code::invalid_argument},
      {grpc::StatusCode::UNIMPLEMENTED, Code::unsupported},
      {grpc::StatusCode::INTERNAL, Code::internal},
      {grpc::StatusCode::UNAVAILABLE, Code::unavailable},
      {grpc::StatusCode::DATA_LOSS, Code::corrupt},
      {grpc::StatusCode::UNAUTHENTICATED, Code::unauthenticated},
  };
  for (const auto& [foreign, ours] : rows)
    EXPECT_EQ(from_grpc({foreign, "why"}), Status(ours, "why")) << foreign;
}

// What grpcurl or another language's client sees of ours.
TEST(Status, is_never_ok_for_others_when_it_is_not_for_us) {
  for (int i = 1; i < kCodeCount; ++i) {
    const grpc::Status status = to_grpc({static_cast<Code>(i), "why"});
    EXPECT_FALSE(status.ok()) << i;
    EXPECT_EQ(status.error_message(), "why");
    EXPECT_NE(from_grpc({status.error_code(), "why"}).code(), Code::ok)
        << "a proxy that drops the details leaves the code";
  }
  EXPECT_TRUE(to_grpc(Status::ok()).ok());
}

TEST(Status, details_that_are_not_ours_are_left_alone) {
  for (const std::string details :
       {"", "tarn", "tarn:", "tarn:\x01\x01", "TARN:\x01", "\x01", "tarn:\x11", "tarn:\x7f"}) {
    EXPECT_EQ(from_grpc({grpc::StatusCode::ABORTED, "why", details}), conflict("why"));
  }
  EXPECT_EQ(from_grpc({grpc::StatusCode::ABORTED, "why", "tarn:\x06"}), stale_epoch("why"));
}

TEST(Outcome, of_a_newer_peer_is_an_internal_error_and_never_a_success) {
  for (const int number : {17, 18, 255, 1 << 20, -1, INT32_MIN})
    EXPECT_EQ(from_outcome(static_cast<v1::Outcome>(number)), Code::internal) << number;
  for (int i = 0; i < kCodeCount; ++i) {
    std::string name = "OUTCOME_" + std::string(code_name(static_cast<Code>(i)));
    for (char& c : name)
      c = static_cast<char>(std::toupper(c));
    EXPECT_EQ(v1::Outcome_Name(to_outcome(static_cast<Code>(i))), name);
  }
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
