#include "cli/cluster_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/router_search.h"
#include "cli/tenant_client.h"
#include "tests/unit/cli/tarn_run.h"

namespace tarn::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

RouterReport router(const std::string& name, uint64_t epoch, bool is_controller = false) {
  RouterReport report;
  report.name = name;
  report.endpoint = name + ":1";
  report.epoch = epoch;
  report.is_controller = is_controller;
  report.authority = "etcd http://e:2379";
  report.authority_reachable = true;
  report.index_synced = true;
  return report;
}

ClusterReport small_cluster() {
  ClusterReport report;
  report.routers = {router("r1", 6), router("r2", 7, true)};
  ServerReport server;
  server.id = 1;
  server.name = "s1";
  server.state = "up";
  server.dram_bytes = 1 << 30;
  server.dram_used_bytes = 1 << 20;
  server.slots_primary = 512;
  server.slots_synced = 1024;
  report.routers[1].servers = {server};
  WorkerReport worker;
  worker.name = "w1";
  worker.is_alive = true;
  worker.capacity = 4;
  report.routers[1].workers = {worker};
  report.silent = {{"r3:1", unavailable("r3:1 does not answer")}};
  report.connections = {{"s1", "s1:1", "ucx: TCP over lo", ""}};
  return report;
}

TEST(Report, is_that_of_the_router_that_knows_most) {
  EXPECT_EQ(small_cluster().best()->name, "r2");
  EXPECT_EQ(ClusterReport().best(), nullptr);
  ClusterReport equal;
  equal.routers = {router("a", 7), router("b", 7, true), router("c", 7)};
  EXPECT_EQ(equal.best()->name, "b");
}

TEST(Report, is_a_table_for_people) {
  const std::string text = to_text(small_cluster());
  EXPECT_THAT(text, HasSubstr("r2      r2:1      7      yes"));
  EXPECT_THAT(text, HasSubstr("r3:1 does not answer"));
  EXPECT_THAT(text, HasSubstr("1 MiB of 1 GiB"));
  EXPECT_THAT(text, HasSubstr("512 of 1024"));
  EXPECT_THAT(text, HasSubstr("0 of 4"));
  EXPECT_THAT(text, HasSubstr("ucx: TCP over lo"));
}

TEST(Report, tells_what_waits) {
  ClusterReport report = small_cluster();
  EXPECT_THAT(to_text(report), Not(HasSubstr("Waiting")));
  report.routers[0].pending_change = "s9 joins";
  report.routers[0].authority_reachable = false;
  EXPECT_THAT(to_text(report), HasSubstr("Waiting at r1: s9 joins"));
  EXPECT_THAT(to_text(report), HasSubstr("(unreachable)"));
}

TEST(Report, shows_a_dash_for_what_a_tenant_is_not_told) {
  ClusterReport report = small_cluster();
  report.routers[1].authority.clear();
  report.routers[1].authority_reachable = false;
  report.routers[1].servers[0].dram_bytes = 0;
  EXPECT_THAT(to_text(report), Not(HasSubstr("(unreachable)")));
  EXPECT_THAT(to_text(report), HasSubstr("s1      1   -         -       up"));
  EXPECT_THAT(to_text(report), Not(HasSubstr("0 B")));
}

TEST(Report, has_json_for_programs) {
  const std::string text = to_json(small_cluster()).text();
  EXPECT_THAT(text, HasSubstr("\"epoch\": 7"));
  EXPECT_THAT(text, HasSubstr("\"name\": \"s1\""));
  EXPECT_THAT(text, HasSubstr("\"state\": \"up\""));
  EXPECT_THAT(text, HasSubstr("\"dram_used_bytes\": 1048576"));
  EXPECT_THAT(to_json(ClusterReport()).text(), HasSubstr("\"servers\": []"));
}

TEST(Report, of_an_empty_cluster_says_so) {
  ClusterReport report;
  report.routers = {router("r1", 0)};
  report.connections_note = "none to see";
  EXPECT_THAT(to_text(report), HasSubstr("No storage server has joined yet."));
  EXPECT_THAT(to_text(report), HasSubstr("none to see"));
}

TEST(Outcomes, are_our_codes) {
  EXPECT_TRUE(status_of(Outcome::ok, "").is_ok());
  EXPECT_EQ(status_of(Outcome::miss, "").code(), Code::not_found);
  EXPECT_EQ(status_of(Outcome::conflict, "x"), conflict("x"));
  EXPECT_EQ(status_of(Outcome::internal, "").message(), "internal");
}

class Cluster : public InFolder {
 protected:
  Cluster() {
    EXPECT_EQ(run_tarn({"certs", "--secrets-dir", at("s")}).exit, 0);
    EXPECT_EQ(run_tarn({"token", "create", "--tenant", "demo", "--secrets-dir", at("s"), "--out",
                        at("t"), "--endpoint", "127.0.0.1:1,127.0.0.1:2"})
                  .exit,
              0);
  }
  // Nobody listens there.
  Ran ask(std::vector<std::string> words, const std::string& folder) {
    words.insert(words.end(), {"--credentials", at(folder), "--timeout-ms", "300"});
    return run_tarn(words);
  }
};

TEST_F(Cluster, routers_are_found_in_the_folder) {
  ClusterFlags flags;
  flags.credentials = at("t");
  const RouterSearch search = find_routers(flags, Speaker::client).value();
  EXPECT_THAT(search.endpoints, ElementsAre("127.0.0.1:1", "127.0.0.1:2"));
  flags.credentials = at("s");
  EXPECT_EQ(find_routers(flags, Speaker::operator_first).error().code(), Code::invalid_argument);
  flags.endpoint = ",";
  EXPECT_FALSE(find_routers(flags, Speaker::operator_first).has_value());
  flags.endpoint = "r:1";
  EXPECT_TRUE(find_routers(flags, Speaker::operator_first)->proof.is_admin);
  EXPECT_FALSE(find_routers(flags, Speaker::client).has_value());
}

TEST_F(Cluster, that_nobody_answers_for_is_one_sentence) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"status"},
                                                {"session", "ls"},
                                                {"session", "show", "x"},
                                                {"session", "rm", "x"},
                                                {"session", "fork", "x"},
                                                {"drain", "server", "s"},
                                                {"drain", "worker", "w"},
                                                {"revoke", "t"},
                                                {"match", "00"}}) {
    const Ran ran = ask(words, "t");
    EXPECT_EQ(ran.exit, kExitUnavailable) << words.front() << ran.err;
    EXPECT_THAT(ran.err, HasSubstr("tarn: ")) << words.front();
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  }
}

TEST_F(Cluster, endpoints_without_a_port_are_refused) {
  EXPECT_EQ(ask({"status", "--endpoint", "host"}, "s").exit, kExitUsage);
  EXPECT_EQ(ask({"status", "--endpoint", "plain://192.0.2.1:1"}, "s").exit, kExitUsage);
}

TEST_F(Cluster, blocks_are_checked_before_anybody_is_asked) {
  EXPECT_EQ(ask({"match", "xyz"}, "t").exit, kExitUsage);
  EXPECT_EQ(ask({"put", "a", "b", "--hash", "00"}, "t").exit, kExitUsage);
  EXPECT_EQ(ask({"put", "a", "--parent", "0"}, "t").exit, kExitUsage);
  EXPECT_EQ(ask({"put", "a", "--copies", "0"}, "t").exit, kExitUsage);
  EXPECT_EQ(ask({"get", "00", "--out", "-", "--json"}, "t").exit, kExitUsage);
  EXPECT_EQ(ask({"get", "00"}, "t").exit, kExitUsage);
}

}  // namespace
}  // namespace tarn::cli
