#include "server/rpc/door.h"

#include "common/rpc/status.h"

namespace tarn::server {

const Status& count_refused(metrics::Registry& registry, const std::string& door,
                            const Status& why) {
  registry
      .counter("tarn_connections_refused_total",
               "Callers turned away before they had a connection.",
               {{"cause", std::string(code_name(why.code()))}, {"door", door}})
      .add();
  return why;
}

fabric::GrpcBulkService::Admit bulk_door(const rpc::Authenticator& authenticator,
                                         metrics::Registry& registry) {
  return [&](grpc::CallbackServerContext& context) {
    const auto caller = authenticator.caller(context);
    if (caller) return grpc::Status::OK;
    return rpc::to_grpc(count_refused(registry, "bulk", caller.error()));
  };
}

}  // namespace tarn::server
