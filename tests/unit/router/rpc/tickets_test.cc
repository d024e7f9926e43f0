// What a ticket is for, how long it lasts, and which key it is sealed with.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/auth/ticket.h"
#include "router/member/file_authority.h"
#include "tests/unit/router/rpc/router_fixture.h"

namespace tarn::router {
namespace {

constexpr int64_t kMinuteMs = 60'000;

class TicketsTest : public RouterTest {
 protected:
  // The router starts on a config with these keys.
  void start_with(std::vector<TicketKey> keys) {
    router.reset();
    const std::string path = folder.path() + "/own-authority";
    const auto authority = std::move(member::open_file_authority(path)).value();
    member::ClusterState state;
    state.config.cluster = "tarn";
    state.config.epoch = {5};
    state.config.ticket_keys = std::move(keys);
    state.config.revocations["demo"] = 3;
    ASSERT_TRUE(authority->compare_and_swap(state, 0).has_value());
    options.authority = "file:" + path;
    start();
    ASSERT_EQ(config_as(Role::server, "s1").epoch(), 5u);
  }
  Result<v1::IssueTicketResponse> issue(Role role, const std::string& name,
                                        const v1::IssueTicketRequest& request = {}) {
    Call call;
    v1::IssueTicketResponse response;
    const auto stub = v1::Tickets::NewStub(as(role, name));
    const Status status = rpc::from_grpc(stub->IssueTicket(&call, request, &response));
    if (!status.is_ok()) return status;
    return response;
  }
  // As a storage server with these keys reads it, so many milliseconds from now.
  static Result<auth::Ticket> read(const v1::IssueTicketResponse& response,
                                   std::vector<TicketKey> keys, int64_t in_ms = 0,
                                   uint64_t revocation = 3) {
    auth::TicketRules rules;
    rules.keys = std::move(keys);
    rules.now_ms = system_clock().unix_ms() + in_ms;
    rules.revocation_of = [revocation](std::string_view) { return revocation; };
    return auth::open_ticket(response.ticket(), rules);
  }
  static TicketKey key(uint32_t id, int64_t not_after_ms) {
    return auth::make_ticket_key(id, not_after_ms).value();
  }
};

TEST_F(TicketsTest, are_sealed_with_the_newest_key_that_outlives_them) {
  const int64_t now = system_clock().unix_ms();
  const std::vector<TicketKey> keys = {key(1, now + 60 * kMinuteMs), key(2, 0),
                                       key(3, now + kMinuteMs)};
  start_with(keys);
  const auto issued = issue(Role::tenant, "demo");
  ASSERT_TRUE(issued.has_value()) << issued.status().to_string();
  EXPECT_TRUE(read(*issued, {keys[1]}).has_value()) << "key 3 ends before the ticket would";
  EXPECT_FALSE(read(*issued, {keys[0]}).has_value());
  EXPECT_FALSE(read(*issued, {keys[2]}).has_value());
}

TEST_F(TicketsTest, are_not_given_where_every_key_ends_too_soon) {
  start_with({key(1, system_clock().unix_ms() + kMinuteMs)});
  const Status refused = issue(Role::tenant, "demo").status();
  EXPECT_EQ(refused.code(), Code::unavailable);
  EXPECT_NE(refused.message().find("ticket key"), std::string::npos) << refused.message();
}

TEST_F(TicketsTest, last_ten_minutes_and_carry_the_tenants_revocation) {
  const std::vector<TicketKey> keys = {key(1, 0)};
  start_with(keys);
  const auto issued = issue(Role::worker, "demo/w1");
  ASSERT_TRUE(issued.has_value());
  const auto ticket = read(*issued, keys);
  ASSERT_TRUE(ticket.has_value()) << ticket.status().to_string();
  EXPECT_EQ(ticket->expires_ms - ticket->issued_ms, 10 * kMinuteMs);
  EXPECT_EQ(ticket->expires_ms, issued->expires_unix_ms());
  EXPECT_EQ(ticket->revocation, 3u);
  EXPECT_TRUE(read(*issued, keys, 9 * kMinuteMs).has_value());
  EXPECT_EQ(read(*issued, keys, 20 * kMinuteMs).status().code(), Code::unauthenticated);
  EXPECT_EQ(read(*issued, keys, 0, 4).status().code(), Code::unauthenticated) << "revoked since";
  const auto other = read(issue(Role::tenant, "other").value(), keys, 0, 0);
  EXPECT_EQ(other->revocation, 0u) << "the other tenant was never revoked";
}

TEST_F(TicketsTest, name_the_tenant_that_asked_whatever_the_spaces_are) {
  const std::vector<TicketKey> keys = {key(1, 0)};
  start_with(keys);
  // A space that nobody has opened, and one that another tenant has: names of nothing in its own.
  v1::IssueTicketRequest request;
  request.add_spaces(std::string(16, 'u'));
  request.add_spaces(space_bytes());
  const auto ticket = read(issue(Role::tenant, "other", request).value(), keys, 0, 0);
  ASSERT_TRUE(ticket.has_value());
  EXPECT_EQ(ticket->holder.tenant, "other");
  ASSERT_EQ(ticket->spaces.size(), 2u);
  EXPECT_TRUE(ticket->allows_space(rpc::space_id_from(std::string(16, 'u')).value()));
  EXPECT_FALSE(ticket->allows_space(rpc::space_id_from(std::string(16, 'v')).value()));
}

TEST_F(TicketsTest, cover_64_spaces_at_most) {
  start_with({key(1, 0)});
  v1::IssueTicketRequest request;
  for (size_t i = 0; i < auth::kTicketSpacesMax; ++i)
    request.add_spaces(std::string(15, 's') + static_cast<char>(i));
  EXPECT_TRUE(issue(Role::tenant, "demo", request).has_value());
  request.add_spaces(space_bytes());
  const Status refused = issue(Role::tenant, "demo", request).status();
  EXPECT_EQ(refused.code(), Code::invalid_argument);
  EXPECT_NE(refused.message().find("leave it empty for all"), std::string::npos);
  for (const size_t size : {0u, 15u, 17u}) {
    v1::IssueTicketRequest bad;
    bad.add_spaces(std::string(size, 's'));
    EXPECT_EQ(issue(Role::tenant, "demo", bad).status().code(), Code::invalid_argument) << size;
  }
}

TEST_F(TicketsTest, differ_each_time_and_so_do_their_secrets) {
  start_with({key(1, 0)});
  const auto one = issue(Role::tenant, "demo").value();
  const auto two = issue(Role::tenant, "demo").value();
  EXPECT_NE(one.ticket(), two.ticket());
  EXPECT_NE(one.client_key(), two.client_key());
}

TEST_F(TicketsTest, that_only_read_allow_nothing_else) {
  const std::vector<TicketKey> keys = {key(1, 0)};
  start_with(keys);
  v1::IssueTicketRequest request;
  request.set_read_only(true);
  for (const auto& [role, name, rights] :
       {std::tuple(Role::tenant, "demo", auth::right::kRead),
        std::tuple(Role::worker, "demo/w1", auth::right::kRead),
        std::tuple(Role::server, "s1", auth::right::kReplicate),
        std::tuple(Role::router, "router-1", auth::right::kAdmin)}) {
    const auto ticket = read(issue(role, name, request).value(), keys, 0, 0);
    ASSERT_TRUE(ticket.has_value()) << name;
    EXPECT_EQ(ticket->rights, rights) << name;
    EXPECT_FALSE(ticket->allows(auth::right::kWrite)) << name;
  }
}

}  // namespace
}  // namespace tarn::router
