#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "tests/unit/router/rpc/router_fixture.h"

namespace tarn::router {
namespace {

// A registered worker, driven beat by beat.
class BeatingWorker {
 public:
  BeatingWorker(const std::shared_ptr<grpc::Channel>& channel, const std::string& name,
                const std::string& space)
      : x_stub(v1::Workers::NewStub(channel)), x_stream(x_stub->Register(&x_call)) {
    beat.set_name(name);
    beat.set_endpoint("unix:/tmp/" + name);
    beat.set_space(space);
    beat.set_capacity(2);
    beat.set_prefill_tokens_per_s(800);
  }
  ~BeatingWorker() { (void)end(); }

  bool tell() { return x_stream->Write(beat) && x_stream->Read(&ack); }
  grpc::Status end() {
    if (x_stream == nullptr) return grpc::Status::OK;
    x_stream->WritesDone();
    const grpc::Status status = x_stream->Finish();
    x_stream.reset();
    return status;
  }

  v1::WorkerBeat beat;
  v1::WorkerAck ack;

 private:
  Call x_call;
  std::unique_ptr<v1::Workers::Stub> x_stub;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WorkerBeat, v1::WorkerAck>> x_stream;
};

class WorkerServiceTest : public RouterTest {
 protected:
  Result<v1::RouteResponse> route_as(Role role, const std::string& name,
                                     const std::string& excluded = "") {
    v1::RouteRequest request;
    request.set_space(space_bytes());
    request.set_session_id("s-1");
    if (!excluded.empty()) request.add_exclude(excluded);
    Call call;
    v1::RouteResponse response;
    const auto stub = v1::Workers::NewStub(as(role, name));
    const Status status = rpc::from_grpc(stub->Route(&call, request, &response));
    if (!status.is_ok()) return status;
    return response;
  }
};

TEST_F(WorkerServiceTest, routes_to_a_registered_worker_of_the_tenant) {
  BeatingWorker w1(as(Role::worker, "demo/w1"), "w1", space_bytes());
  ASSERT_TRUE(w1.tell());
  EXPECT_EQ(w1.ack.dead_after_ms(), options.timing.dead_after.count());
  const auto answer = route_as(Role::tenant, "demo");
  ASSERT_TRUE(answer.has_value()) << answer.status().to_string();
  EXPECT_EQ(answer->worker(), "w1");
  EXPECT_EQ(answer->endpoint(), "unix:/tmp/w1");
  EXPECT_EQ(route_as(Role::tenant, "demo", "w1").status().code(), Code::unavailable);
  EXPECT_EQ(route_as(Role::tenant, "other").status().code(), Code::unavailable);
  EXPECT_EQ(route_as(Role::server, "s1").status().code(), Code::permission_denied);
}

TEST_F(WorkerServiceTest, lets_workers_beat_under_their_own_names_only) {
  BeatingWorker liar(as(Role::worker, "demo/w1"), "w2", space_bytes());
  EXPECT_FALSE(liar.tell());
  EXPECT_EQ(code_of(liar.end()), Code::permission_denied);
  BeatingWorker server(as(Role::server, "s1"), "s1", space_bytes());
  EXPECT_FALSE(server.tell());
  EXPECT_EQ(code_of(server.end()), Code::permission_denied);
  // The tenant itself may run workers of any name.
  BeatingWorker own(as(Role::tenant, "demo"), "w2", space_bytes());
  EXPECT_TRUE(own.tell());
  own.beat.set_name("w3");
  EXPECT_FALSE(own.tell());
  EXPECT_EQ(code_of(own.end()), Code::invalid_argument);
}

TEST_F(WorkerServiceTest, forgets_a_worker_when_its_stream_ends) {
  BeatingWorker w1(as(Role::tenant, "demo"), "w1", space_bytes());
  ASSERT_TRUE(w1.tell());
  (void)w1.end();
  EXPECT_TRUE(eventually([&] { return !route_as(Role::tenant, "demo").has_value(); }));
}

TEST_F(WorkerServiceTest, drains_and_lists_workers) {
  BeatingWorker w1(as(Role::tenant, "demo"), "w1", space_bytes());
  ASSERT_TRUE(w1.tell());
  EXPECT_FALSE(w1.ack.drain());
  v1::DrainWorkerRequest request;
  request.set_name("w1");
  v1::DrainWorkerResponse response;
  {
    Call call;
    const auto other = v1::Workers::NewStub(as(Role::tenant, "other"));
    EXPECT_EQ(code_of(other->DrainWorker(&call, request, &response)), Code::not_found);
  }
  const auto stub = v1::Workers::NewStub(as(Role::tenant, "demo"));
  {
    Call call;
    ASSERT_TRUE(stub->DrainWorker(&call, request, &response).ok());
  }
  ASSERT_TRUE(w1.tell());
  EXPECT_TRUE(w1.ack.drain());
  EXPECT_EQ(route_as(Role::tenant, "demo").status().code(), Code::unavailable);
  Call call;
  v1::ListWorkersResponse workers;
  ASSERT_TRUE(stub->ListWorkers(&call, {}, &workers).ok());
  ASSERT_EQ(workers.workers_size(), 1);
  EXPECT_TRUE(workers.workers(0).alive());
  EXPECT_TRUE(workers.workers(0).beat().draining());
}

TEST_F(WorkerServiceTest, tells_of_failovers_but_not_of_other_tenants_workers) {
  const auto stub = v1::Workers::NewStub(as(Role::tenant, "demo"));
  (void)config_as(Role::tenant, "demo");  // its event is over
  Call call;
  const auto events = stub->WatchEvents(&call, {});
  events->WaitForInitialMetadata();
  {
    BeatingWorker foreign(as(Role::tenant, "other"), "w9", space_bytes());
    ASSERT_TRUE(foreign.tell());
    BeatingWorker w1(as(Role::tenant, "demo"), "w1", space_bytes());
    ASSERT_TRUE(w1.tell());
  }
  BeatingServer s1(as(Role::server, "s1"), "s1");
  ASSERT_NE(s1.join(), 0u);
  for (const auto& [kind, name] :
       {std::pair(v1::ClusterEvent::WORKER_UP, "w1"),
        std::pair(v1::ClusterEvent::WORKER_LOST, "w1"),
        std::pair(v1::ClusterEvent::SERVER_UP, "s1"), std::pair(v1::ClusterEvent::EPOCH, "")}) {
    v1::ClusterEvent event;
    ASSERT_TRUE(events->Read(&event));
    EXPECT_EQ(event.kind(), kind);
    EXPECT_EQ(event.name(), name);
  }
  call.TryCancel();
  (void)events->Finish();
}

TEST_F(WorkerServiceTest, refuses_questions_that_are_wrong) {
  const auto stub = v1::Workers::NewStub(as(Role::tenant, "demo"));
  v1::RouteRequest request;
  v1::RouteResponse response;
  {
    Call call;
    EXPECT_EQ(code_of(stub->Route(&call, request, &response)), Code::invalid_argument);
  }
  request.set_space(space_bytes());
  request.add_hashes(std::string(33, 'x'));
  {
    Call call;
    EXPECT_EQ(code_of(stub->Route(&call, request, &response)), Code::invalid_argument);
  }
  request.clear_hashes();
  request.set_session_id(std::string(200, 'x'));
  Call call;
  EXPECT_EQ(code_of(stub->Route(&call, request, &response)), Code::invalid_argument);
}

}  // namespace
}  // namespace tarn::router
