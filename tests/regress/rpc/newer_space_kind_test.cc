#include <gtest/gtest.h>

#include "common/rpc/convert.h"

namespace tarn::rpc {
namespace {

// A kind of space that only a newer SDK knows was taken for a chained one: the router named the
// space by another id than its client, and its blocks were placed by rules that are not theirs.
TEST(SpaceKind, of_a_newer_peer_is_refused_and_not_taken_for_another) {
  block::SpaceSpec spec;
  spec.model = "m";
  v1::SpaceSpec message = to_proto(spec);
  ASSERT_TRUE(block::validate(from_proto(message)).is_ok());
  for (const int kind : {3, 4, 77, 256, 257, -1}) {
    message.set_kind(static_cast<v1::SpaceKind>(kind));
    EXPECT_EQ(block::validate(from_proto(message)),
              invalid_argument("space.kind: neither chained nor flat"))
        << kind;
  }
}

}  // namespace
}  // namespace tarn::rpc
