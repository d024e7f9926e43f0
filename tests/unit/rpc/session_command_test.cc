#include "common/rpc/session_command.h"

#include <gtest/gtest.h>

#include <string>

namespace tarn::rpc {
namespace {

// Sets the field of this name wherever it stands in the message, but for what is copied.
bool set_everywhere(google::protobuf::Message& message, const std::string& field,
                    const std::string& value) {
  const auto* const descriptor = message.GetDescriptor();
  const auto* const reflection = message.GetReflection();
  if (const auto* const found = descriptor->FindFieldByName(field)) {
    reflection->SetString(&message, found, value);
    return true;
  }
  const auto* const request = descriptor->FindFieldByName("request");
  return request != nullptr &&
         set_everywhere(*reflection->MutableMessage(&message, request), field, value);
}

// The slot of a command follows from its session's id, at the router and at the server: an
// operation that is added without a case would go to the slot of "".
TEST(SessionCommand, of_every_operation_names_its_session) {
  const auto* const ops = v1::SessionCommand::descriptor()->FindOneofByName("op");
  ASSERT_NE(ops, nullptr);
  ASSERT_GE(ops->field_count(), 7);
  for (int i = 0; i < ops->field_count(); ++i) {
    v1::SessionCommand command;
    auto* const op = command.GetReflection()->MutableMessage(&command, ops->field(i));
    EXPECT_EQ(session_id_of(command), "") << ops->field(i)->name();
    // Of a fork the new session: that is what is written.
    const bool is_fork = ops->field(i)->name() == "fork";
    ASSERT_TRUE(set_everywhere(*op, is_fork ? "new_session_id" : "session_id", "chat-1"));
    EXPECT_EQ(session_id_of(command), "chat-1") << ops->field(i)->name();
  }
}

// Of an operation without a case, a handle of any space could change the session.
TEST(SessionCommand, of_every_operation_but_a_creation_says_in_which_space_it_looks) {
  const auto* const ops = v1::SessionCommand::descriptor()->FindOneofByName("op");
  for (int i = 0; i < ops->field_count(); ++i) {
    v1::SessionCommand command;
    auto* const op = command.GetReflection()->MutableMessage(&command, ops->field(i));
    EXPECT_EQ(expected_space_of(command), "") << ops->field(i)->name();
    ASSERT_TRUE(set_everywhere(*op, "space", std::string(16, 's'))) << ops->field(i)->name();
    const bool is_create = ops->field(i)->name() == "create";
    EXPECT_EQ(expected_space_of(command).size(), is_create ? 0u : 16u) << ops->field(i)->name();
  }
}

TEST(SessionCommand, of_a_fork_is_about_the_copy_not_the_source) {
  v1::SessionCommand command;
  command.mutable_fork()->mutable_request()->set_session_id("source");
  command.mutable_fork()->mutable_source()->set_session_id("source");
  EXPECT_EQ(session_id_of(command), "");
  command.mutable_fork()->mutable_request()->set_new_session_id("copy");
  EXPECT_EQ(session_id_of(command), "copy");
}

TEST(SessionCommand, without_an_operation_names_none) {
  EXPECT_EQ(session_id_of(v1::SessionCommand()), "");
  EXPECT_EQ(expected_space_of(v1::SessionCommand()), "");
}

}  // namespace
}  // namespace tarn::rpc
