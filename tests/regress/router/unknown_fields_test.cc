// A router that did not know a field of the stored config dropped it with its next epoch. In a
// cluster with routers of two versions, as in every rolling upgrade, the newer one's settings were
// lost whenever the older one was the controller.
#include <gtest/gtest.h>

#include "proto/tarn/v1/cluster.pb.h"
#include "router/member/state_text.h"

namespace tarn::member {
namespace {

TEST(UnknownFields, of_a_newer_router_outlive_an_older_ones_change) {
  ClusterState state;
  state.config.cluster = "test";
  state.config.epoch = {1};
  v1::ClusterConfig newer;
  ASSERT_TRUE(newer.ParseFromString(encode_state(state)));
  auto* const fields = newer.GetReflection()->MutableUnknownFields(&newer);
  fields->AddVarint(4711, 17);
  fields->AddLengthDelimited(4712, "a setting of the next version");
  auto read = decode_state(newer.SerializeAsString());
  ASSERT_TRUE(read.has_value()) << read.status().to_string();
  ++read->config.epoch.value;
  v1::ClusterConfig after;
  ASSERT_TRUE(after.ParseFromString(encode_state(*read)));
  EXPECT_EQ(after.epoch(), 2u);
  const auto& kept = after.GetReflection()->GetUnknownFields(after);
  ASSERT_EQ(kept.field_count(), 2);
  EXPECT_EQ(kept.field(0).varint(), 17u);
  EXPECT_EQ(kept.field(1).length_delimited(), "a setting of the next version");
  EXPECT_EQ(*decode_state(encode_state(*read)), *read);
}

}  // namespace
}  // namespace tarn::member
