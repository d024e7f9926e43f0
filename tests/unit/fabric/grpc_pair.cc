#include "tests/unit/fabric/grpc_pair.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

namespace tarn::fabric {

GrpcServerOfTests::GrpcServerOfTests(GrpcBulkService::Admit admit)
    : x_service(std::make_unique<GrpcBulkService>(std::move(admit))) {
  grpc::ServerBuilder builder;
  set_bulk_limits(builder);
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(x_service.get());
  x_server = builder.BuildAndStart();
  x_target = "127.0.0.1:" + std::to_string(port);
}

GrpcServerOfTests::~GrpcServerOfTests() {
  stop();
}

void GrpcServerOfTests::stop() {
  if (x_server == nullptr) return;
  x_service->close_all();
  x_server->Shutdown(std::chrono::system_clock::now());
  x_server.reset();
}

std::shared_ptr<grpc::Channel> GrpcServerOfTests::new_channel() const {
  grpc::ChannelArguments arguments;
  set_bulk_limits(arguments);
  // Otherwise channels of one process share connections.
  arguments.SetInt("grpc.use_local_subchannel_pool", 1);
  return grpc::CreateCustomChannel(x_target, grpc::InsecureChannelCredentials(), arguments);
}

namespace {

class GrpcPair : public FabricPair {
 public:
  GrpcPair() {
    x_b = GrpcPort::open_lane(x_server.service().streams(), 3).value();
    x_a = GrpcPort::open_client(x_server.new_channel()).value();
  }
  ~GrpcPair() override {
    x_a.reset();
    kill_b();
  }

  void kill_b() override {
    x_b.reset();
    x_server.stop();
  }

 private:
  GrpcServerOfTests x_server;
};

}  // namespace

std::unique_ptr<FabricPair> make_grpc_pair() {
  return std::make_unique<GrpcPair>();
}

}  // namespace tarn::fabric
