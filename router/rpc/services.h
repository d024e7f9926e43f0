#pragma once

#include <memory>

#include "router/rpc/context.h"

namespace grpc {
class Service;
}

// The router's gRPC services. Each lives as long as the server that it is plugged into, and the
// context longer. Their threads: streams and quick calls run on gRPC's callback threads; calls that
// may wait for the authority or a storage server are synchronous, on at most kSyncThreadsMax.
namespace tarn::router {

std::shared_ptr<grpc::Service> make_cluster_service(RouterContext& context);
std::shared_ptr<grpc::Service> make_ticket_service(RouterContext& context);
std::shared_ptr<grpc::Service> make_space_service(RouterContext& context);
std::shared_ptr<grpc::Service> make_worker_service(RouterContext& context);
std::shared_ptr<grpc::Service> make_admin_service(RouterContext& context);

}  // namespace tarn::router
