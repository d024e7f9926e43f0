#pragma once

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "common/ring/position.h"
#include "common/ring/slots.h"
#include "router/cluster/config_view.h"
#include "router/rpc/session_stores.h"
#include "router/rpc/sessions_service.h"
#include "server/rpc/session_peers.h"
#include "server/rpc/session_service.h"
#include "tests/unit/router/caller.h"

namespace tarn::router {

// Storage servers (as far as sessions go) and one router, in one process, over loopback gRPC.
class SessionCluster {
 public:
  explicit SessionCluster(uint32_t servers) {
    const bool has_shm = std::filesystem::is_directory("/dev/shm");
    x_root = std::filesystem::path(has_shm ? "/dev/shm" : testing::TempDir()) /
             ("router_sessions_" + std::to_string(::getpid()));
    std::filesystem::remove_all(x_root);
    ring::ClusterConfig first;
    first.cluster = "test";
    for (uint32_t id = 1; id <= servers; ++id) {
      start(id);
      ring::Member member;
      member.id = {id};
      member.name = "s" + std::to_string(id);
      member.control_endpoint = endpoint_of(id);
      member.incarnation = {id};
      member.domain = "rack" + std::to_string(id);
      member.state = ring::MemberState::up;
      first.members.push_back(member);
    }
    first.slots = ring::assign_slots(first);
    start_router();
    publish(std::move(first));
  }
  ~SessionCluster() {
    x_router->Shutdown(std::chrono::system_clock::now());
    x_servers.clear();
    std::filesystem::remove_all(x_root);
  }

  // A new epoch with these contents, told to the servers first.
  void publish(ring::ClusterConfig next) {
    next.epoch.value = ++x_epoch;
    tell_servers(next);
    ASSERT_TRUE(config.publish(std::move(next)).is_ok());
  }
  // The router hears of the next epoch, the servers do not yet.
  void publish_to_router(ring::ClusterConfig next) {
    next.epoch.value = ++x_epoch;
    ASSERT_TRUE(config.publish(std::move(next)).is_ok());
  }
  void tell_servers(const ring::ClusterConfig& next) {
    const auto shared = std::make_shared<const ring::ClusterConfig>(next);
    for (auto& [id, server] : x_servers) {
      server->peers.set_config(next);
      server->store->set_config(shared, {id});
    }
  }
  // The process is gone; the config does not know it yet.
  void kill(uint32_t id) { x_servers.erase(id); }
  // The config after it learned that `dead` is gone.
  ring::ClusterConfig without(uint32_t dead) {
    ring::ClusterConfig next = *config.current();
    ring::find_member(next, {dead})->state = ring::MemberState::down;
    next.slots = ring::remove_member(next, {dead});
    return next;
  }
  uint32_t primary_of(const std::string& session) {
    const auto at = ring::session_position(block::tenant_id("acme"), session);
    return config.current()->slots[ring::slot_of(at).value].primary.value;
  }

  std::unique_ptr<v1::Sessions::Stub> stub_for(auth::Role role, const std::string& name) {
    return v1::Sessions::NewStub(callers.channel(x_router_port, role, name));
  }

  // Over loopback without TLS.
  int router_port() const { return x_router_port; }

  Callers callers;
  cluster::ConfigView config;
  metrics::Registry registry;

 private:
  struct Server {
    Server(const std::filesystem::path& folder, const Callers& callers, uint32_t id)
        : peers(callers.material(auth::Role::server, "s" + std::to_string(id)), Millis(500)) {
      std::filesystem::create_directories(folder);
      session::SlotStoreOptions options;
      options.folder = folder.string();
      options.peers = peers.peers();
      auto opened = session::SlotStore::open(std::move(options));
      EXPECT_TRUE(opened.has_value());
      store = std::move(*opened);
      service = std::make_unique<server::SessionService>(*store, callers.authenticator());
      grpc::ServerBuilder builder;
      builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
      builder.RegisterService(service.get());
      grpc = builder.BuildAndStart();
    }
    ~Server() { grpc->Shutdown(std::chrono::system_clock::now()); }

    server::SessionPeers peers;
    std::unique_ptr<session::SlotStore> store;
    std::unique_ptr<server::SessionService> service;
    std::unique_ptr<grpc::Server> grpc;
    int port = 0;
  };

  void start(uint32_t id) {
    x_servers[id] = std::make_unique<Server>(x_root / std::to_string(id), callers, id);
  }
  std::string endpoint_of(uint32_t id) const {
    return "127.0.0.1:" + std::to_string(x_servers.at(id)->port);
  }
  void start_router() {
    x_stores =
        std::make_unique<SessionStores>(config, callers.material(auth::Role::router, "router-1"));
    session::SessionFrontOptions options;
    options.config = &config;
    options.calls = x_stores->calls();
    options.registry = &registry;
    x_front = std::make_unique<session::SessionFront>(std::move(options));
    SessionsOptions service;
    service.front = x_front.get();
    service.authenticator = &callers.authenticator();
    x_service = make_sessions_service(service);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &x_router_port);
    builder.RegisterService(x_service.get());
    x_router = builder.BuildAndStart();
  }

  std::filesystem::path x_root;
  uint64_t x_epoch = 0;
  std::map<uint32_t, std::unique_ptr<Server>> x_servers;
  std::unique_ptr<SessionStores> x_stores;
  std::unique_ptr<session::SessionFront> x_front;
  std::unique_ptr<grpc::Service> x_service;
  std::unique_ptr<grpc::Server> x_router;
  int x_router_port = 0;
};

}  // namespace tarn::router
