#include "tests/unit/link/link_fixture.h"

namespace tarn::fabric {
namespace {

const std::string kBytes(4096, 'b');

// A get that was tried again on another owner told the size that the first owner's block had, where
// the second one had said none: the caller was told to bring memory of a size that no block had.
TEST_F(LinkTest, ATargetUsedAgainTellsNothingOfItsFirstUse) {
  Get get(1, kBytes.size());
  get.targets_of[0].exact = false;
  ASSERT_TRUE(x_link->submit(get).is_ok());
  reply_block(0, 0, std::string(100, 'x'));
  land();
  ASSERT_EQ(get.targets[0].bytes, 100u);
  ASSERT_TRUE(x_link->submit(get).is_ok());
  // The server has a block that is larger than the memory, and does not say by how much.
  reply(1, wire::GetReply{{}, 0, 1, Code::invalid_argument, {}, 0, 0});
  EXPECT_EQ(get.ends, 2);
  EXPECT_EQ(get.targets[0].code, Code::invalid_argument);
  EXPECT_EQ(get.targets[0].bytes, 0u);
  EXPECT_EQ(get.targets[0].generation, Generation{});
}

// A put that the server had kept was told as failed when its connection was lost before UCX let go
// of the payload: the caller put the block again, or gave a session's turn up for lost.
TEST_F(LinkTest, AnAcknowledgedPutStaysSoWhenItsLinkIsLost) {
  Put kept(kBytes);
  Put open(kBytes);
  ASSERT_TRUE(x_link->submit(kept).is_ok());
  ASSERT_TRUE(x_link->submit(open).is_ok());
  reply(0, wire::PutReply{Epoch{7}, Code::kept_less, 2, {}});
  x_link->lost(unavailable("the peer is gone"));
  EXPECT_EQ(kept.ends + open.ends, 0) << "their memory is in use";
  finish_all();
  EXPECT_EQ(kept.code, Code::kept_less);
  EXPECT_EQ(kept.copies, 2);
  EXPECT_EQ(open.code, Code::unavailable);
}

}  // namespace
}  // namespace tarn::fabric
