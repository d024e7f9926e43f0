#include <algorithm>

#include "common/base/units.h"
#include "common/rpc/session_command.h"
#include "server/session/session_table.h"

namespace tarn::session {
namespace {

constexpr size_t kRequestIdBytes = 16;
constexpr size_t kSpaceIdBytes = 16;
constexpr int64_t kTtlMsMax = int64_t{10} * 365 * 24 * 3600 * 1000;

Status check_id(const std::string& id, const char* field) {
  const bool printable =
      std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (id.empty() || id.size() > kNameBytesMax || !printable) {
    return invalid_argument(std::string(field) + ": 1 to " + std::to_string(kNameBytesMax) +
                            " printable characters without spaces");
  }
  return Status::ok();
}

Status check_request_id(const std::string& id) {
  if (id.size() == kRequestIdBytes) return Status::ok();
  return invalid_argument("request_id: expected 16 bytes, got " + std::to_string(id.size()));
}

Status check_tail(const std::string& tail) {
  if (tail.size() <= kSessionTailBytesMax) return Status::ok();
  return invalid_argument("tail: at most " + std::to_string(kSessionTailBytesMax) + " bytes, got " +
                          std::to_string(tail.size()));
}

Status check_ttl(int64_t ttl_ms) {
  if (ttl_ms >= 0 && ttl_ms <= kTtlMsMax) return Status::ok();
  return invalid_argument("ttl_ms: 0 for never, or up to ten years");
}

Status check_space(const std::string& space) {
  if (space.size() == kSpaceIdBytes) return Status::ok();
  return invalid_argument("space: expected 16 bytes, got " + std::to_string(space.size()));
}

Status check_expected_space(const v1::SessionCommand& command) {
  const std::string& space = rpc::expected_space_of(command);
  return space.empty() ? Status::ok() : check_space(space);
}

bool is_hash(const std::string& bytes) {
  return !bytes.empty() && bytes.size() <= kHashBytesMax;
}

Status check_blocks(const v1::AppendSessionRequest& append) {
  for (int i = 0; i < append.blocks_size(); ++i) {
    const auto& block = append.blocks(i);
    if (!is_hash(block.hash()) || !is_hash(block.anchor()) || block.index() >= kExtentBlocksMax) {
      return invalid_argument("blocks[" + std::to_string(i) +
                              "]: hash and anchor are 1 to 32 bytes, index is below 64");
    }
  }
  return Status::ok();
}

Status check_create(const v1::CreateSessionRequest& create) {
  TARN_RETURN_IF_ERROR(check_space(create.space()));
  TARN_RETURN_IF_ERROR(check_ttl(create.ttl_ms()));
  return check_request_id(create.request_id());
}

Status check_append(const v1::AppendSessionRequest& append) {
  if (append.expected_version() == 0)
    return invalid_argument("expected_version: versions begin at 1");
  TARN_RETURN_IF_ERROR(check_blocks(append));
  TARN_RETURN_IF_ERROR(check_tail(append.tail()));
  return check_request_id(append.request_id());
}

Status check_truncate(const v1::TruncateSessionRequest& truncate) {
  if (truncate.expected_version() == 0) {
    return invalid_argument("expected_version: versions begin at 1");
  }
  TARN_RETURN_IF_ERROR(check_tail(truncate.tail()));
  return check_request_id(truncate.request_id());
}

Status check_fork(const v1::ForkInto& fork) {
  TARN_RETURN_IF_ERROR(check_id(fork.source().session_id(), "source.session_id"));
  TARN_RETURN_IF_ERROR(check_space(fork.source().space()));
  TARN_RETURN_IF_ERROR(check_ttl(fork.request().ttl_ms()));
  return check_request_id(fork.request().request_id());
}

}  // namespace

Status validate(const v1::SessionCommand& command) {
  TARN_RETURN_IF_ERROR(check_id(rpc::session_id_of(command), "session_id"));
  TARN_RETURN_IF_ERROR(check_expected_space(command));
  switch (command.op_case()) {
    case v1::SessionCommand::kCreate:
      return check_create(command.create());
    case v1::SessionCommand::kAppend:
      return check_append(command.append());
    case v1::SessionCommand::kFork:
      return check_fork(command.fork());
    case v1::SessionCommand::kTruncate:
      return check_truncate(command.truncate());
    case v1::SessionCommand::kUpdate:
      TARN_RETURN_IF_ERROR(check_ttl(command.update().ttl_ms()));
      return check_request_id(command.update().request_id());
    case v1::SessionCommand::kDelete:
      // Older routers send none: then a retry is a delete of its own.
      if (command.delete_().request_id().empty()) return Status::ok();
      return check_request_id(command.delete_().request_id());
    case v1::SessionCommand::kResolve:
      return Status::ok();
    case v1::SessionCommand::OP_NOT_SET:
      break;
  }
  return invalid_argument("op: the command names no operation");
}

}  // namespace tarn::session
