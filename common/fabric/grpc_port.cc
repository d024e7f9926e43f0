#include "common/fabric/grpc_port.h"

#include <grpcpp/channel.h>
#include <sys/random.h>

#include <array>
#include <utility>

#include "common/fabric/grpc_core.h"

namespace tarn::fabric {
namespace {

class GrpcConnection : public Connection {
 public:
  GrpcConnection(std::shared_ptr<GrpcCore> core, uint64_t id) : x_core(std::move(core)), x_id(id) {}
  ~GrpcConnection() override { close(); }

  Status send(Bytes header, std::span<const Bytes> payload, SendDone done) override {
    return x_core->send(x_id, header, payload, std::move(done));
  }
  void close() override { x_core->close(x_id); }

 private:
  const std::shared_ptr<GrpcCore> x_core;
  const uint64_t x_id;
};

// 16 random bytes in hex.
Result<std::string> make_secret() {
  std::array<unsigned char, 16> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return unavailable("no random numbers for the address of a gRPC port");
  }
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) {
    text.push_back(digits[byte >> 4]);
    text.push_back(digits[byte & 15]);
  }
  return text;
}

}  // namespace

Result<std::unique_ptr<GrpcPort>> GrpcPort::open_client(std::shared_ptr<grpc::Channel> channel) {
  TARN_ASSIGN_OR_RETURN(Event event, Event::open());
  TARN_ASSIGN_OR_RETURN(std::string secret, make_secret());
  auto inbox = std::make_shared<GrpcInbox>(std::move(event));
  GrpcCore::Identity identity{std::move(secret), std::move(channel), nullptr, 0};
  return std::unique_ptr<GrpcPort>(
      new GrpcPort(std::make_shared<GrpcCore>(std::move(identity), std::move(inbox))));
}

Result<std::unique_ptr<GrpcPort>> GrpcPort::open_lane(std::shared_ptr<GrpcStreams> streams,
                                                      uint32_t lane) {
  TARN_ASSIGN_OR_RETURN(Event event, Event::open());
  auto inbox = std::make_shared<GrpcInbox>(std::move(event));
  TARN_RETURN_IF_ERROR(streams->add_lane(lane, inbox));
  GrpcCore::Identity identity{std::to_string(lane), nullptr, std::move(streams), lane};
  return std::unique_ptr<GrpcPort>(
      new GrpcPort(std::make_shared<GrpcCore>(std::move(identity), std::move(inbox))));
}

GrpcPort::~GrpcPort() {
  x_core->shut_down();
}

Result<std::unique_ptr<Connection>> GrpcPort::connect_over(
    const std::shared_ptr<grpc::Channel>& channel, ConnectOptions options) {
  TARN_ASSIGN_OR_RETURN(const uint64_t id, x_core->connect_to_lane(channel, std::move(options)));
  return std::unique_ptr<Connection>(std::make_unique<GrpcConnection>(x_core, id));
}

Result<std::unique_ptr<Connection>> GrpcPort::connect(ConnectOptions options) {
  const GrpcCore::Identity& identity = x_core->identity();
  if (identity.streams == nullptr) return connect_over(identity.channel, std::move(options));
  TARN_ASSIGN_OR_RETURN(const uint64_t id, x_core->connect_to_client(std::move(options)));
  return std::unique_ptr<Connection>(std::make_unique<GrpcConnection>(x_core, id));
}

std::string GrpcPort::address() const {
  return x_core->identity().address;
}

void GrpcPort::set_handler(Handler handler) {
  x_core->set_handler(std::move(handler));
}

size_t GrpcPort::progress() {
  return x_core->progress();
}

bool GrpcPort::arm() {
  return x_core->arm();
}

int GrpcPort::event_fd() const {
  return x_core->event_fd();
}

bool GrpcPort::idle() const {
  return x_core->idle();
}

}  // namespace tarn::fabric
