#include "tests/unit/server/rpc/fake_router.h"

#include <grpcpp/server_builder.h>

#include "common/auth/ticket.h"
#include "common/base/check.h"
#include "common/rpc/convert.h"

namespace tarn::server {

FakeRouter::FakeRouter(const std::string& secrets_dir, const std::string& name) {
  x_config.epoch = {1};
  x_config.cluster = "test";
  x_config.ticket_keys.push_back(*auth::make_ticket_key(1, 0));
  const auto secrets = auth::SecretsDir::open(secrets_dir).value();
  const auto pair = secrets.certificate(*auth::make_identity(auth::Role::router, name)).value();
  rpc::TlsMaterial material;
  material.ca_pem = secrets.ca_pem().value();
  material.certificate_pem = pair.certificate_pem;
  material.key_pem = pair.key_pem;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", rpc::server_credentials(material).value(), &x_port);
  builder.RegisterService(this);
  x_server = builder.BuildAndStart();
  TARN_CHECK(x_server != nullptr);
}

FakeRouter::~FakeRouter() {
  stop();
}

void FakeRouter::stop() {
  {
    const std::lock_guard lock(x_mutex);
    if (x_stopping) return;
    x_stopping = true;
    x_changed.notify_all();
  }
  x_server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  x_server->Wait();
}

std::string FakeRouter::endpoint() const {
  return "127.0.0.1:" + std::to_string(x_port);
}

ring::ClusterConfig FakeRouter::config() {
  const std::lock_guard lock(x_mutex);
  return x_config;
}

void FakeRouter::change(const std::function<void(ring::ClusterConfig&)>& edit) {
  const std::lock_guard lock(x_mutex);
  edit(x_config);
  ++x_config.epoch.value;
  x_changed.notify_all();
}

bool FakeRouter::wait_for_members(size_t count) {
  std::unique_lock lock(x_mutex);
  return x_changed.wait_for(lock, std::chrono::seconds(10),
                            [&] { return x_config.members.size() >= count; });
}

bool FakeRouter::wait_for_silence(const std::string& name) {
  std::unique_lock lock(x_mutex);
  return x_changed.wait_for(lock, std::chrono::seconds(10), [&] { return x_silent[name]; });
}

bool FakeRouter::is_draining(const std::string& name) {
  const std::lock_guard lock(x_mutex);
  return x_draining[name];
}

grpc::Status FakeRouter::GetConfig(grpc::ServerContext*, const v1::GetConfigRequest*,
                                   v1::ClusterConfig* response) {
  *response = rpc::to_proto(config());
  return grpc::Status::OK;
}

grpc::Status FakeRouter::WatchConfig(grpc::ServerContext* context,
                                     const v1::GetConfigRequest* request,
                                     grpc::ServerWriter<v1::ClusterConfig>* writer) {
  uint64_t known = request->known_epoch();
  while (!context->IsCancelled()) {
    v1::ClusterConfig message;
    {
      std::unique_lock lock(x_mutex);
      x_changed.wait_for(lock, std::chrono::milliseconds(50),
                         [&] { return x_stopping || x_config.epoch.value > known; });
      if (x_stopping) break;
      if (x_config.epoch.value <= known) continue;
      known = x_config.epoch.value;
      message = rpc::to_proto(x_config);
    }
    if (!writer->Write(message)) break;
  }
  return grpc::Status::OK;
}

grpc::Status FakeRouter::Heartbeat(
    grpc::ServerContext*,
    grpc::ServerReaderWriter<v1::HeartbeatResponse, v1::HeartbeatRequest>* stream) {
  v1::HeartbeatRequest beat;
  while (stream->Read(&beat)) {
    note(beat);
    v1::HeartbeatResponse answer;
    answer.set_interval_ms(20);
    answer.set_epoch(config().epoch.value);
    if (!stream->Write(answer)) break;
  }
  const std::lock_guard lock(x_mutex);
  x_silent[beat.name()] = true;
  x_changed.notify_all();
  return grpc::Status::OK;
}

void FakeRouter::note(const v1::HeartbeatRequest& beat) {
  const std::lock_guard lock(x_mutex);
  x_draining[beat.name()] = beat.draining();
  x_silent[beat.name()] = false;
  for (ring::Member& member : x_config.members) {
    if (member.name != beat.name()) continue;
    if (member.control_endpoint == beat.control_endpoint()) return;
    member.control_endpoint = beat.control_endpoint();
    ++x_config.epoch.value;
    x_changed.notify_all();
    return;
  }
  ring::Member member;
  member.id = {static_cast<uint32_t>(x_config.members.size() + 1)};
  member.name = beat.name();
  member.control_endpoint = beat.control_endpoint();
  member.incarnation = {beat.incarnation()};
  member.weight = beat.weight();
  member.domain = beat.domain();
  member.lanes = beat.lanes();
  member.state = ring::MemberState::up;
  x_config.members.push_back(member);
  ++x_config.epoch.value;
  x_changed.notify_all();
}

}  // namespace tarn::server
