#include "common/block/space.h"

#include "common/rpc/convert.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/router.grpc.pb.h"
#include "router/rpc/services.h"

namespace tarn::router {
namespace {

using auth::Role;

// A space is what its spec says, so opening one needs nobody's leave and no authority.
class SpaceService : public v1::Spaces::CallbackService {
 public:
  explicit SpaceService(RouterContext& context) : x_context(context) {}

  grpc::ServerUnaryReactor* OpenSpace(grpc::CallbackServerContext* call,
                                      const v1::OpenSpaceRequest* request,
                                      v1::OpenSpaceResponse* response) override {
    auto* const reactor = call->DefaultReactor();
    reactor->Finish(rpc::to_grpc(open(*call, *request, response)));
    return reactor;
  }

  grpc::ServerUnaryReactor* ListSpaces(grpc::CallbackServerContext* call,
                                       const v1::ListSpacesRequest*,
                                       v1::ListSpacesResponse* response) override {
    auto* const reactor = call->DefaultReactor();
    reactor->Finish(rpc::to_grpc(list(*call, response)));
    return reactor;
  }

 private:
  Status open(const grpc::CallbackServerContext& call, const v1::OpenSpaceRequest& request,
              v1::OpenSpaceResponse* response) {
    TARN_ASSIGN_OR_RETURN(const auth::Identity caller,
                          require(x_context, call, {Role::tenant, Role::worker}));
    const block::SpaceSpec spec = rpc::from_proto(request.spec());
    TARN_RETURN_IF_ERROR(block::validate(spec));
    response->set_space(rpc::to_bytes(block::space_id(spec)));
    x_context.controller.remember_space({caller.tenant, spec});
    return Status::ok();
  }

  Status list(const grpc::CallbackServerContext& call, v1::ListSpacesResponse* response) {
    TARN_ASSIGN_OR_RETURN(const auth::Identity caller,
                          require(x_context, call, {Role::tenant, Role::worker}));
    for (const block::SpaceSpec& spec : x_context.controller.spaces(caller.tenant)) {
      v1::SpaceEntry* const entry = response->add_spaces();
      entry->set_space(rpc::to_bytes(block::space_id(spec)));
      *entry->mutable_spec() = rpc::to_proto(spec);
    }
    return Status::ok();
  }

  RouterContext& x_context;
};

}  // namespace

std::shared_ptr<grpc::Service> make_space_service(RouterContext& context) {
  return std::make_shared<SpaceService>(context);
}

}  // namespace tarn::router
