#include "common/rpc/session_command.h"

namespace tarn::rpc {

const std::string& session_id_of(const v1::SessionCommand& command) {
  using Op = v1::SessionCommand;
  static const std::string none;
  switch (command.op_case()) {
    case Op::kCreate:
      return command.create().session_id();
    case Op::kAppend:
      return command.append().session_id();
    case Op::kResolve:
      return command.resolve().session_id();
    case Op::kFork:
      return command.fork().request().new_session_id();
    case Op::kTruncate:
      return command.truncate().session_id();
    case Op::kUpdate:
      return command.update().session_id();
    case Op::kDelete:
      return command.delete_().session_id();
    case Op::OP_NOT_SET:
      return none;
  }
  return none;
}

const std::string& expected_space_of(const v1::SessionCommand& command) {
  using Op = v1::SessionCommand;
  static const std::string any;
  switch (command.op_case()) {
    case Op::kAppend:
      return command.append().space();
    case Op::kResolve:
      return command.resolve().space();
    case Op::kFork:
      return command.fork().request().space();
    case Op::kTruncate:
      return command.truncate().space();
    case Op::kUpdate:
      return command.update().space();
    case Op::kDelete:
      return command.delete_().space();
    case Op::kCreate:
    case Op::OP_NOT_SET:
      return any;
  }
  return any;
}

Status of_another_space(std::string_view session_id) {
  return invalid_argument("session '" + std::string(session_id) +
                          "' is of another space: open it in the space that it was created in");
}

}  // namespace tarn::rpc
