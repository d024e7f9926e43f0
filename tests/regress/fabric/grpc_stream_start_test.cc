#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/fabric/fake_grpc_call.h"

namespace tarn::fabric {
namespace {

// A client that opened two streams at once, or one while its server closed all, found the first of
// them broken before its call had begun: a check ended the server's process.
TEST(GrpcStream, OneThatIsBrokenBeforeItsCallBeginsOnlyEnds) {
  std::vector<GrpcEvent> ended;
  GrpcStream::Roles roles;
  roles.inbox_of = [](uint32_t) { return nullptr; };
  roles.ended = [&](GrpcEvent lost) { ended.push_back(std::move(lost)); };
  const auto stream = std::make_shared<GrpcStream>("token", std::move(roles));
  stream->break_off("the client opened a newer stream");
  FakeCall call;
  stream->start(&call);
  EXPECT_EQ(call.finishes, 1);
  EXPECT_EQ(call.reason, "the client opened a newer stream");
  EXPECT_EQ(call.reading, nullptr);
  stream->close();
  EXPECT_EQ(call.finishes, 1);
  stream->on_done("", nullptr);
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].why, "the client opened a newer stream");
}

}  // namespace
}  // namespace tarn::fabric
