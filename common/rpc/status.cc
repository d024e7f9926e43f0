#include "common/rpc/status.h"

#include <string>

namespace tarn::rpc {
namespace {

// The details are this and one byte: our code.
constexpr std::string_view kDetailsPrefix = "tarn:";

grpc::StatusCode grpc_code(Code code) {
  switch (code) {
    case Code::ok:
      return grpc::StatusCode::OK;
    case Code::not_found:
      return grpc::StatusCode::NOT_FOUND;
    case Code::exists:
      return grpc::StatusCode::ALREADY_EXISTS;
    case Code::conflict:
    case Code::stale_epoch:
      return grpc::StatusCode::ABORTED;
    case Code::unavailable:
      return grpc::StatusCode::UNAVAILABLE;
    case Code::kept_less:
    case Code::extent_full:
      return grpc::StatusCode::FAILED_PRECONDITION;
    case Code::overloaded:
      return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case Code::deadline_exceeded:
      return grpc::StatusCode::DEADLINE_EXCEEDED;
    case Code::cancelled:
      return grpc::StatusCode::CANCELLED;
    case Code::corrupt:
      return grpc::StatusCode::DATA_LOSS;
    case Code::invalid_argument:
      return grpc::StatusCode::INVALID_ARGUMENT;
    case Code::unauthenticated:
      return grpc::StatusCode::UNAUTHENTICATED;
    case Code::permission_denied:
      return grpc::StatusCode::PERMISSION_DENIED;
    case Code::unsupported:
      return grpc::StatusCode::UNIMPLEMENTED;
    case Code::internal:
      return grpc::StatusCode::INTERNAL;
  }
  return grpc::StatusCode::INTERNAL;
}

Code foreign_code(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::OK:
      return Code::ok;
    case grpc::StatusCode::NOT_FOUND:
      return Code::not_found;
    case grpc::StatusCode::ALREADY_EXISTS:
      return Code::exists;
    case grpc::StatusCode::ABORTED:
      return Code::conflict;
    case grpc::StatusCode::UNAVAILABLE:
      return Code::unavailable;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return Code::overloaded;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Code::deadline_exceeded;
    case grpc::StatusCode::CANCELLED:
      return Code::cancelled;
    case grpc::StatusCode::DATA_LOSS:
      return Code::corrupt;
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::FAILED_PRECONDITION:
      return Code::invalid_argument;
    case grpc::StatusCode::UNAUTHENTICATED:
      return Code::unauthenticated;
    case grpc::StatusCode::PERMISSION_DENIED:
      return Code::permission_denied;
    case grpc::StatusCode::UNIMPLEMENTED:
      return Code::unsupported;
    default:
      return Code::internal;
  }
}

}  // namespace

grpc::Status to_grpc(const Status& status) {
  if (status.is_ok()) return grpc::Status::OK;
  std::string details(kDetailsPrefix);
  details += static_cast<char>(status.code());
  return {grpc_code(status.code()), status.message(), details};
}

Status from_grpc(const grpc::Status& status) {
  if (status.ok()) return Status::ok();
  const std::string details = status.error_details();
  if (details.size() == kDetailsPrefix.size() + 1 && details.starts_with(kDetailsPrefix)) {
    const auto number = static_cast<uint8_t>(details.back());
    if (number > 0 && number < kCodeCount)
      return {static_cast<Code>(number), status.error_message()};
  }
  return {foreign_code(status.error_code()), status.error_message()};
}

}  // namespace tarn::rpc
