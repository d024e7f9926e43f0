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

}  // namespace tarn::rpc
