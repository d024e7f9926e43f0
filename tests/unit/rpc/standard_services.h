#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/unknown_field_set.h>

#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/rpc/credentials.h"
#include "common/rpc/status.h"

// gRPC's own services, asked in bytes: their generated code is not packaged everywhere.
namespace tarn::rpc {

struct RawAnswer {
  grpc::Status status;
  std::string bytes;
};

// One message there and one back; a stream of one each looks the same on the wire.
inline RawAnswer raw_call(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                          const std::string& request) {
  grpc::ClientContext context;
  set_timeout(context, Millis(10'000));
  const grpc::Slice slice(request);
  const grpc::ByteBuffer out(&slice, 1);
  grpc::ByteBuffer in;
  std::promise<grpc::Status> ended;
  grpc::GenericStub stub(channel);
  stub.UnaryCall(&context, method, {}, &out, &in,
                 [&ended](grpc::Status status) { ended.set_value(std::move(status)); });
  RawAnswer answer;
  answer.status = ended.get_future().get();
  grpc::Slice whole;
  if (answer.status.ok() && in.DumpToSingleSlice(&whole).ok()) {
    answer.bytes.assign(reinterpret_cast<const char*>(whole.begin()), whole.size());
  }
  return answer;
}

// A message with one short string.
inline std::string text_field(int number, const std::string& text) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(text.size())} + text;
}

// What fields of this number hold, in order.
inline std::vector<std::string> parts_of(const std::string& message, int number) {
  google::protobuf::UnknownFieldSet fields;
  std::vector<std::string> parts;
  if (!fields.ParseFromString(message)) return parts;
  for (int i = 0; i < fields.field_count(); ++i) {
    const auto& field = fields.field(i);
    if (field.number() != number) continue;
    if (field.type() != google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED) continue;
    parts.push_back(field.length_delimited());
  }
  return parts;
}

inline constexpr char kServing[] = "\x08\x01";
inline constexpr char kNotServing[] = "\x08\x02";

// grpc.health.v1.HealthCheckResponse for `service`, as bytes; empty: of the whole process.
inline RawAnswer ask_health(const std::shared_ptr<grpc::Channel>& channel,
                            const std::string& service = "") {
  return raw_call(channel, "/grpc.health.v1.Health/Check",
                  service.empty() ? "" : text_field(1, service));
}

inline RawAnswer ask_reflection(const std::shared_ptr<grpc::Channel>& channel, int number,
                                const std::string& text) {
  return raw_call(channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                  text_field(number, text));
}

// The services of `package` that reflection lists.
inline std::set<std::string> listed_services(const std::shared_ptr<grpc::Channel>& channel,
                                             const std::string& package) {
  std::set<std::string> names;
  for (const auto& list : parts_of(ask_reflection(channel, 7, "*").bytes, 6)) {
    for (const auto& service : parts_of(list, 1)) {
      for (const auto& name : parts_of(service, 1)) {
        if (name.starts_with(package)) names.insert(name);
      }
    }
  }
  return names;
}

// The methods of a service as reflection describes them to a tool that has no .proto files.
inline std::set<std::string> described_methods(const std::shared_ptr<grpc::Channel>& channel,
                                               const std::string& package,
                                               const std::string& service) {
  std::set<std::string> names;
  for (const auto& files : parts_of(ask_reflection(channel, 4, package + service).bytes, 4)) {
    for (const auto& bytes : parts_of(files, 1)) {
      google::protobuf::FileDescriptorProto file;
      if (!file.ParseFromString(bytes)) continue;
      for (const auto& each : file.service()) {
        if (each.name() != service) continue;
        for (const auto& method : each.method())
          names.insert(method.name());
      }
    }
  }
  return names;
}

}  // namespace tarn::rpc
