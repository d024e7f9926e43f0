#include <string>

#include <gtest/gtest.h>

#include "common/auth/ticket.h"
#include "tests/unit/router/rpc/router_fixture.h"

namespace tarn::router {
namespace {

class ServicesTest : public RouterTest {
 protected:
  Result<v1::IssueTicketResponse> ticket_as(Role role, const std::string& name,
                                            const v1::IssueTicketRequest& request = {}) {
    (void)config_as(Role::admin, "ops");  // there is one
    Call call;
    v1::IssueTicketResponse response;
    const auto stub = v1::Tickets::NewStub(as(role, name));
    const Status status = rpc::from_grpc(stub->IssueTicket(&call, request, &response));
    if (!status.is_ok()) return status;
    return response;
  }

  // As a storage server reads it.
  Result<auth::Ticket> read(const v1::IssueTicketResponse& response) {
    const v1::ClusterConfig config = config_as(Role::server, "s1");
    const auto converted = rpc::from_proto(config);
    EXPECT_TRUE(converted.has_value());
    auth::TicketRules rules;
    rules.keys = converted->ticket_keys;
    rules.now_ms = system_clock().unix_ms();
    rules.revocation_of = [&](std::string_view tenant) {
      const auto found = converted->revocations.find(std::string(tenant));
      return found == converted->revocations.end() ? uint64_t{0} : found->second;
    };
    EXPECT_EQ(auth::client_key(response.ticket(), rules.keys).value(), response.client_key());
    return auth::open_ticket(response.ticket(), rules);
  }
};

TEST_F(ServicesTest, issues_tickets_for_the_callers_tenant) {
  const auto response = ticket_as(Role::worker, "demo/w1");
  ASSERT_TRUE(response.has_value()) << response.status().to_string();
  const auto ticket = read(response.value());
  ASSERT_TRUE(ticket.has_value()) << ticket.status().to_string();
  EXPECT_EQ(ticket->holder.tenant, "demo");
  EXPECT_EQ(ticket->rights, auth::right::kRead | auth::right::kWrite);
  EXPECT_TRUE(ticket->spaces.empty());
  const int64_t left_ms = response->expires_unix_ms() - system_clock().unix_ms();
  EXPECT_GT(left_ms, 590'000);
  EXPECT_LE(left_ms, 600'000);
}

TEST_F(ServicesTest, narrows_a_ticket_as_asked) {
  v1::IssueTicketRequest request;
  request.set_read_only(true);
  request.add_spaces(space_bytes());
  const auto ticket = read(ticket_as(Role::tenant, "demo", request).value());
  ASSERT_TRUE(ticket.has_value());
  EXPECT_EQ(ticket->rights, auth::right::kRead);
  EXPECT_EQ(ticket->spaces.size(), 1u);
  request.add_spaces("short");
  EXPECT_EQ(ticket_as(Role::tenant, "demo", request).status().code(), Code::invalid_argument);
  for (int i = 0; i < 64; ++i)
    request.add_spaces(space_bytes());
  EXPECT_EQ(ticket_as(Role::tenant, "demo", request).status().code(), Code::invalid_argument);
}

TEST_F(ServicesTest, gives_no_data_rights_to_servers_and_routers) {
  EXPECT_EQ(read(ticket_as(Role::server, "s1").value())->rights, auth::right::kReplicate);
  EXPECT_EQ(read(ticket_as(Role::router, "router-1").value())->rights, auth::right::kAdmin);
  EXPECT_EQ(ticket_as(Role::admin, "ops").status().code(), Code::permission_denied);
}

TEST_F(ServicesTest, revokes_a_tenants_tickets) {
  const auto before = ticket_as(Role::tenant, "demo").value();
  const auto admin = v1::Admin::NewStub(as(Role::admin, "ops"));
  v1::RevokeTenantRequest request;
  request.set_tenant("demo");
  v1::RevokeTenantResponse response;
  {
    Call call;
    ASSERT_TRUE(admin->RevokeTenant(&call, request, &response).ok());
    EXPECT_EQ(response.revocation(), 1u);
  }
  ASSERT_TRUE(eventually([&] { return config_as(Role::server, "s1").epoch() == 2; }));
  EXPECT_EQ(read(before).status().code(), Code::unauthenticated);
  EXPECT_TRUE(read(ticket_as(Role::tenant, "demo").value()).has_value());
  // What was revoked is nobody else's business.
  EXPECT_EQ(config_as(Role::tenant, "demo").revocations_size(), 1);
  EXPECT_EQ(config_as(Role::tenant, "other").revocations_size(), 0);
  request.set_tenant("Not A Tenant");
  Call call;
  EXPECT_EQ(code_of(admin->RevokeTenant(&call, request, &response)), Code::invalid_argument);
}

TEST_F(ServicesTest, keeps_operators_calls_from_tenants) {
  const auto stub = v1::Admin::NewStub(as(Role::tenant, "demo"));
  v1::RevokeTenantResponse revoked;
  v1::DrainServerResponse drained;
  {
    Call call;
    EXPECT_EQ(code_of(stub->RevokeTenant(&call, {}, &revoked)), Code::permission_denied);
  }
  Call call;
  EXPECT_EQ(code_of(stub->DrainServer(&call, {}, &drained)), Code::permission_denied);
}

TEST_F(ServicesTest, shows_operators_everything_and_tenants_what_concerns_them) {
  BeatingServer s1(as(Role::server, "s1"), "s1");
  s1.beat.mutable_load()->set_stored_payload_bytes(4711);
  s1.beat.mutable_load()->set_blocks(3);
  ASSERT_NE(s1.join(), 0u);
  const auto all = status_as(Role::admin, "ops");
  EXPECT_EQ(all.router(), "router-1");
  EXPECT_TRUE(all.controller());
  EXPECT_TRUE(all.authority_reachable());
  EXPECT_EQ(all.authority().substr(0, 5), "file ");
  EXPECT_EQ(all.pending_change(), "");
  ASSERT_EQ(all.servers_size(), 1);
  EXPECT_EQ(all.servers(0).state(), "up");
  EXPECT_EQ(all.servers(0).stored_payload_bytes(), 4711u);
  EXPECT_EQ(all.servers(0).slots_primary(), 1024u);
  const auto own = status_as(Role::tenant, "demo");
  ASSERT_EQ(own.servers_size(), 1);
  EXPECT_EQ(own.servers(0).name(), "s1");
  EXPECT_EQ(own.servers(0).stored_payload_bytes(), 0u);
  EXPECT_EQ(own.authority(), "");
}

TEST_F(ServicesTest, drains_a_server_at_an_operators_word) {
  BeatingServer s1(as(Role::server, "s1"), "s1");
  ASSERT_NE(s1.join(), 0u);
  const auto admin = v1::Admin::NewStub(as(Role::admin, "ops"));
  v1::DrainServerRequest request;
  request.set_name("nobody");
  v1::DrainServerResponse response;
  {
    Call call;
    EXPECT_EQ(code_of(admin->DrainServer(&call, request, &response)), Code::not_found);
  }
  request.set_name("s1");
  {
    Call call;
    ASSERT_TRUE(admin->DrainServer(&call, request, &response).ok());
  }
  EXPECT_TRUE(eventually([&] {
    v1::HeartbeatResponse answer;
    EXPECT_TRUE(s1.tell(&answer));
    return status_as(Role::admin, "ops").servers(0).state() == "draining";
  }));
}

TEST_F(ServicesTest, opens_and_lists_the_spaces_of_a_tenant) {
  const auto stub = v1::Spaces::NewStub(as(Role::tenant, "demo"));
  block::SpaceSpec spec;
  spec.model = "llama";
  v1::OpenSpaceRequest request;
  *request.mutable_spec() = rpc::to_proto(spec);
  v1::OpenSpaceResponse response;
  for (int i = 0; i < 2; ++i) {
    Call call;
    ASSERT_TRUE(stub->OpenSpace(&call, request, &response).ok());
    EXPECT_EQ(response.space(), rpc::to_bytes(block::space_id(spec)));
  }
  v1::ListSpacesResponse spaces;
  {
    Call call;
    ASSERT_TRUE(stub->ListSpaces(&call, {}, &spaces).ok());
    ASSERT_EQ(spaces.spaces_size(), 1);
    EXPECT_EQ(spaces.spaces(0).spec().model(), "llama");
  }
  {
    Call call;
    const auto other = v1::Spaces::NewStub(as(Role::tenant, "other"));
    ASSERT_TRUE(other->ListSpaces(&call, {}, &spaces).ok());
    EXPECT_EQ(spaces.spaces_size(), 0);
  }
  request.mutable_spec()->clear_model();
  Call call;
  EXPECT_EQ(code_of(stub->OpenSpace(&call, request, &response)), Code::invalid_argument);
  Call server_call;
  const auto server = v1::Spaces::NewStub(as(Role::server, "s1"));
  EXPECT_EQ(code_of(server->OpenSpace(&server_call, request, &response)), Code::permission_denied);
}

}  // namespace
}  // namespace tarn::router
