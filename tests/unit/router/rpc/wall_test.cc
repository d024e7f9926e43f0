// Who may call what, over every method that a router serves; and that no tenant finds anything of
// another's, whatever it asks.
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <grpcpp/impl/codegen/client_unary_call.h>
#include <gtest/gtest.h>

#include "proto/tarn/v1/sessions.grpc.pb.h"
#include "proto/tarn/v1/storage.pb.h"
#include "tests/unit/router/rpc/router_fixture.h"

namespace tarn::router {
namespace {

const std::set<Role> kAll = {Role::tenant, Role::worker, Role::server, Role::router, Role::admin};
const std::set<Role> kTenants = {Role::tenant, Role::worker};
const std::set<Role> kWatchers = {Role::tenant, Role::worker, Role::admin};
const std::set<Role> kTicketHolders = {Role::tenant, Role::worker, Role::server, Role::router};
const std::set<Role> kOperators = {Role::admin};

// Every method of every service; one that is added has to be judged here.
const std::map<std::string, std::set<Role>> kMayCall = {
    {"tarn.v1.Cluster.GetConfig", kAll},
    {"tarn.v1.Cluster.WatchConfig", kAll},
    {"tarn.v1.Cluster.Heartbeat", {Role::server}},
    {"tarn.v1.Spaces.OpenSpace", kTenants},
    {"tarn.v1.Spaces.ListSpaces", kTenants},
    {"tarn.v1.Lookup.Match", kTenants},
    {"tarn.v1.Lookup.Locate", kTenants},
    {"tarn.v1.Lookup.ReportMisses", kTenants},
    {"tarn.v1.Tickets.IssueTicket", kTicketHolders},
    {"tarn.v1.Workers.Register", kTenants},
    {"tarn.v1.Workers.DrainWorker", {Role::tenant, Role::admin}},  // and workers themselves
    {"tarn.v1.Workers.ListWorkers", kWatchers},
    {"tarn.v1.Workers.Route", kTenants},
    {"tarn.v1.Workers.WatchEvents", kAll},
    {"tarn.v1.Admin.GetStatus", kAll},
    {"tarn.v1.Admin.DrainServer", kOperators},
    {"tarn.v1.Admin.RevokeTenant", kOperators},
    {"tarn.v1.Admin.ListSlots", kOperators},
    {"tarn.v1.Admin.AbandonSlots", kOperators},
    {"tarn.v1.Sessions.CreateSession", kTenants},
    {"tarn.v1.Sessions.AppendSession", kTenants},
    {"tarn.v1.Sessions.ResolveSession", kTenants},
    {"tarn.v1.Sessions.ForkSession", kTenants},
    {"tarn.v1.Sessions.TruncateSession", kTenants},
    {"tarn.v1.Sessions.UpdateSession", kTenants},
    {"tarn.v1.Sessions.DeleteSession", kTenants},
    {"tarn.v1.Sessions.ListSessions", kTenants},
};
// Served by storage servers.
const std::set<std::string> kElsewhere = {"tarn.v1.SessionStore"};

using google::protobuf::DescriptorPool;
using google::protobuf::MethodDescriptor;

std::vector<const MethodDescriptor*> methods() {
  std::vector<const MethodDescriptor*> all;
  for (const char* path : {"proto/tarn/v1/cluster.proto", "proto/tarn/v1/router.proto",
                           "proto/tarn/v1/sessions.proto"}) {
    const auto* const file = DescriptorPool::generated_pool()->FindFileByName(path);
    EXPECT_NE(file, nullptr) << path;
    for (int i = 0; file != nullptr && i < file->service_count(); ++i) {
      if (kElsewhere.contains(file->service(i)->full_name())) continue;
      for (int k = 0; k < file->service(i)->method_count(); ++k)
        all.push_back(file->service(i)->method(k));
    }
  }
  return all;
}

// Any method with an empty request. What is let through to the sessions of a router without storage
// servers waits for its deadline, which ends it.
Code call_unary(const std::shared_ptr<grpc::Channel>& channel, const MethodDescriptor& method,
                bool is_let_through) {
  const std::string path = "/" + method.service()->full_name() + "/" + method.name();
  const grpc::internal::RpcMethod rpc_method(path.c_str(), grpc::internal::RpcMethod::NORMAL_RPC,
                                             channel);
  Call call;
  if (is_let_through && method.service()->name() == "Sessions") {
    rpc::set_timeout(call, Millis(40));
  }
  const v1::DrainRequest nothing;
  v1::DrainResponse ignored;
  return code_of(
      grpc::internal::BlockingUnaryCall(channel.get(), rpc_method, &call, nothing, &ignored));
}

template <typename Stream>
Code end_stream(Stream stream) {
  stream->WritesDone();
  return code_of(stream->Finish());
}

// How a stream ends that says nothing.
Code call_stream(const std::shared_ptr<grpc::Channel>& channel, const MethodDescriptor& method,
                 bool is_let_through) {
  const auto cluster = v1::Cluster::NewStub(channel);
  const auto workers = v1::Workers::NewStub(channel);
  Call call;
  if (method.name() == "Heartbeat") return end_stream(cluster->Heartbeat(&call));
  if (method.name() == "Register") return end_stream(workers->Register(&call));
  if (method.name() == "WatchConfig") {
    const auto stream = cluster->WatchConfig(&call, {});
    v1::ClusterConfig config;
    if (stream->Read(&config)) return Code::ok;
    return code_of(stream->Finish());
  }
  EXPECT_EQ(method.name(), "WatchEvents") << "a stream that this test does not know";
  const auto stream = workers->WatchEvents(&call, {});
  stream->WaitForInitialMetadata();
  if (is_let_through) call.TryCancel();  // else it has ended
  return code_of(stream->Finish());
}

class WallTest : public RouterTest {
 protected:
  static Code code_of_call(const std::shared_ptr<grpc::Channel>& channel,
                           const MethodDescriptor& method, bool may) {
    const bool is_stream = method.client_streaming() || method.server_streaming();
    return is_stream ? call_stream(channel, method, may) : call_unary(channel, method, may);
  }
};

TEST_F(WallTest, every_method_is_judged) {
  std::set<std::string> served;
  for (const MethodDescriptor* method : methods())
    served.insert(method->full_name());
  std::set<std::string> judged;
  for (const auto& [name, roles] : kMayCall)
    judged.insert(name);
  EXPECT_EQ(served, judged);
}

TEST_F(WallTest, every_role_may_call_what_it_needs_and_nothing_else) {
  (void)config_as(Role::admin, "ops");
  const std::map<Role, std::string> names = {{Role::tenant, "demo"},
                                             {Role::worker, "demo/w1"},
                                             {Role::server, "s1"},
                                             {Role::router, "router-1"},
                                             {Role::admin, "ops"}};
  for (const auto& [role, name] : names) {
    const auto caller = as(role, name);
    for (const MethodDescriptor* method : methods()) {
      const bool may = kMayCall.at(method->full_name()).contains(role);
      const Code code = code_of_call(caller, *method, may);
      EXPECT_EQ(code != Code::permission_denied, may)
          << auth::role_name(role) << " calls " << method->full_name() << ": " << code_name(code);
      EXPECT_NE(code, Code::unauthenticated) << method->full_name();
      EXPECT_NE(code, Code::internal) << method->full_name();
    }
  }
}

TEST_F(WallTest, who_shows_nothing_is_told_nothing) {
  (void)config_as(Role::admin, "ops");
  rpc::TlsMaterial nobody = with_token(Role::tenant, "demo");
  nobody.token.clear();
  const auto channel_of_nobody = channel(nobody);
  rpc::TlsMaterial forged = with_token(Role::tenant, "demo");
  char& middle = forged.token[forged.token.size() / 2];
  middle = middle == 'A' ? 'B' : 'A';
  const auto channel_of_forger = channel(forged);
  for (const MethodDescriptor* method : methods()) {
    EXPECT_EQ(code_of_call(channel_of_nobody, *method, false), Code::unauthenticated)
        << method->full_name();
    EXPECT_EQ(code_of_call(channel_of_forger, *method, false), Code::unauthenticated)
        << method->full_name();
  }
}

// What tenant "demo" has, and "other" looks for: a space, a worker, its drain, its events.
class ForeignTest : public RouterTest {
 protected:
  void SetUp() override {
    RouterTest::SetUp();
    block::SpaceSpec spec;
    spec.model = "llama";
    v1::OpenSpaceRequest open;
    *open.mutable_spec() = rpc::to_proto(spec);
    v1::OpenSpaceResponse opened;
    Call call;
    ASSERT_TRUE(
        v1::Spaces::NewStub(as(Role::tenant, "demo"))->OpenSpace(&call, open, &opened).ok());
    worker_stub = v1::Workers::NewStub(as(Role::worker, "demo/w1"));
    worker = worker_stub->Register(&worker_call);
    ASSERT_TRUE(beat());
  }
  void TearDown() override {
    worker_call.TryCancel();
    if (worker) (void)worker->Finish();
  }

  bool beat() {
    v1::WorkerBeat beat;
    beat.set_name("w1");
    beat.set_endpoint("10.0.0.1:1");
    beat.set_space(space_bytes());
    beat.set_capacity(1);
    return worker->Write(beat) && worker->Read(&ack);
  }

  Call worker_call;
  v1::WorkerAck ack;
  std::unique_ptr<v1::Workers::Stub> worker_stub;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WorkerBeat, v1::WorkerAck>> worker;
};

TEST_F(ForeignTest, tenants_never_see_each_others_spaces_workers_or_status) {
  for (const auto& [role, name] :
       {std::pair(Role::tenant, "other"), std::pair(Role::worker, "other/w1")}) {
    SCOPED_TRACE(name);
    const auto channel = as(role, name);
    const auto workers = v1::Workers::NewStub(channel);
    {
      Call call;
      v1::ListSpacesResponse spaces;
      ASSERT_TRUE(v1::Spaces::NewStub(channel)->ListSpaces(&call, {}, &spaces).ok());
      EXPECT_EQ(spaces.spaces_size(), 0);
    }
    {
      Call call;
      v1::ListWorkersResponse listed;
      ASSERT_TRUE(workers->ListWorkers(&call, {}, &listed).ok());
      EXPECT_EQ(listed.workers_size(), 0);
    }
    {
      Call call;
      v1::RouteRequest request;
      request.set_space(space_bytes());
      v1::RouteResponse answer;
      EXPECT_EQ(code_of(workers->Route(&call, request, &answer)), Code::unavailable);
    }
    EXPECT_EQ(status_as(role, name).workers_size(), 0);
  }
  EXPECT_EQ(status_as(Role::tenant, "demo").workers_size(), 1);
  EXPECT_EQ(status_as(Role::admin, "ops").workers_size(), 1);
}

TEST_F(ForeignTest, a_foreign_worker_and_none_are_the_same_answer) {
  const auto stub = v1::Workers::NewStub(as(Role::tenant, "other"));
  std::vector<grpc::Status> answers;
  for (const char* name : {"w1", "w2"}) {
    Call call;
    v1::DrainWorkerRequest request;
    request.set_name(name);
    v1::DrainWorkerResponse response;
    answers.push_back(stub->DrainWorker(&call, request, &response));
  }
  EXPECT_EQ(code_of(answers[0]), Code::not_found);
  EXPECT_EQ(answers[0].error_code(), answers[1].error_code());
  EXPECT_EQ(answers[0].error_message(), "no worker w1");
  ASSERT_TRUE(beat());
  EXPECT_FALSE(ack.drain());
}

TEST_F(ForeignTest, a_worker_drains_itself_and_nobody_else_of_its_tenant) {
  const auto stub = v1::Workers::NewStub(as(Role::worker, "demo/w1"));
  v1::DrainWorkerRequest request;
  v1::DrainWorkerResponse response;
  request.set_name("w2");
  {
    Call call;
    EXPECT_EQ(code_of(stub->DrainWorker(&call, request, &response)), Code::permission_denied);
  }
  request.set_name("w1");
  Call call;
  EXPECT_TRUE(stub->DrainWorker(&call, request, &response).ok());
}

TEST_F(ForeignTest, a_foreign_worker_of_the_same_name_takes_nothing_over) {
  const auto stub = v1::Workers::NewStub(as(Role::worker, "other/w1"));
  Call call;
  const auto stream = stub->Register(&call);
  v1::WorkerBeat theirs;
  theirs.set_name("w1");
  theirs.set_endpoint("10.6.6.6:6");
  theirs.set_space(space_bytes());
  theirs.set_capacity(100);
  theirs.set_prefill_tokens_per_s(1e9);
  v1::WorkerAck theirs_ack;
  ASSERT_TRUE(stream->Write(theirs) && stream->Read(&theirs_ack));
  ASSERT_TRUE(beat());
  Call route_call;
  v1::RouteRequest request;
  request.set_space(space_bytes());
  v1::RouteResponse answer;
  const auto own = v1::Workers::NewStub(as(Role::tenant, "demo"));
  ASSERT_TRUE(own->Route(&route_call, request, &answer).ok());
  EXPECT_EQ(answer.endpoint(), "10.0.0.1:1");
  call.TryCancel();
  (void)stream->Finish();
}

}  // namespace
}  // namespace tarn::router
