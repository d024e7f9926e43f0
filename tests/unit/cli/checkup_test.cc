#include "cli/checkup.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "cli/probe.h"
#include "cli/program.h"
#include "common/base/units.h"
#include "tests/unit/cli/tarn_run.h"

namespace tarn::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kNowMs = 1'800'000'000'000;

TEST(Judge, what_is_well_needs_no_advice) {
  const Findings good = {judge_memlock(RLIM_INFINITY, kGiB),
                         judge_open_files(65536),
                         judge_hugepages(512, 2 * kMiB, kGiB),
                         judge_memory(2 * kGiB, kGiB),
                         judge_shared_memory(kGiB, kGiB),
                         judge_clock(kNowMs, true),
                         judge_io_uring(0),
                         judge_days_left("a.pem", 300)};
  for (const Finding& finding : good) {
    EXPECT_EQ(finding.health, Health::ok) << finding.name;
    EXPECT_THAT(finding.advice, IsEmpty()) << finding.name;
  }
}

TEST(Judge, what_is_not_well_says_what_to_do) {
  const Findings bad = {judge_memlock(8 * kMiB, kGiB), judge_open_files(1024),
                        judge_memory(kGiB, kGiB),      judge_shared_memory(0, 0),
                        judge_clock(0, true),          judge_clock(kNowMs, false),
                        judge_io_uring(ENOSYS),        judge_io_uring(EPERM),
                        judge_days_left("a.pem", -1),  judge_days_left("a.pem", 3)};
  for (const Finding& finding : bad) {
    EXPECT_NE(finding.health, Health::ok) << finding.name;
    EXPECT_GT(finding.advice.size(), 20u) << finding.name;
  }
  EXPECT_EQ(judge_memory(kGiB, kGiB).health, Health::problem);
  EXPECT_EQ(judge_days_left("a.pem", -1).health, Health::problem);
}

TEST(Judge, hugepages_are_advised_but_not_needed) {
  const Finding finding = judge_hugepages(0, 2 * kMiB, kGiB);
  EXPECT_EQ(finding.health, Health::ok);
  EXPECT_THAT(finding.advice, HasSubstr("vm.nr_hugepages=512"));
}

TEST(Meminfo, is_read_by_name) {
  const char* text = "MemTotal:   100 kB\nMemAvailable:  20 kB\nHugePages_Free:   7\n";
  EXPECT_EQ(meminfo_value(text, "MemAvailable"), 20 * kKiB);
  EXPECT_EQ(meminfo_value(text, "HugePages_Free"), 7u);
  EXPECT_EQ(meminfo_value(text, "Mem"), 0u);
}

TEST(UcxInfo, names_transports_with_their_devices) {
  EXPECT_THAT(ucx_transports("# Memory domain: tcp\n#      Transport: tcp\n#         Device: eth0\n"
                             "#           Type: network\n#      Transport: posix\n"
                             "#         Device: memory\n"),
              ElementsAre("tcp/eth0", "posix/memory"));
  EXPECT_THAT(ucx_transports("nothing"), IsEmpty());
}

TEST(Machine, is_looked_at_as_a_whole) {
  EXPECT_EQ(check_machine(kMiB).size(), 7u);
  EXPECT_THAT(check_ucx().front().what, HasSubstr("version 1."));
}

TEST(Probe, tells_a_free_port_from_one_in_use) {
  EXPECT_GT(try_listen("127.0.0.1:0").value(), 0);
  EXPECT_EQ(try_listen("192.0.2.1:0").error().code(), Code::unavailable);
  EXPECT_EQ(try_listen("nonsense").error().code(), Code::invalid_argument);
  EXPECT_EQ(check_port("192.0.2.1:0").health, Health::problem);
  EXPECT_EQ(check_etcd("127.0.0.1:1").health, Health::problem);
}

TEST(Program, is_read_to_its_end) {
  EXPECT_EQ(read_program({"printf", "a b"}, Millis(5000)).value(), "a b");
  EXPECT_EQ(read_program({"false"}, Millis(5000)).error().code(), Code::unavailable);
  EXPECT_EQ(read_program({"no-such-program-at-all"}, Millis(5000)).error().code(), Code::not_found);
}

TEST(Program, is_ended_when_it_is_too_slow) {
  const auto text = read_program({"sleep", "60"}, Millis(20));
  EXPECT_THAT(text.error().message(), HasSubstr("did not end in time"));
}

using Credentials = InFolder;

TEST_F(Credentials, that_are_not_there_are_a_warning) {
  const Findings all = check_credentials(at("none"));
  EXPECT_EQ(all.at(0).health, Health::warning);
  EXPECT_THAT(all.at(0).advice, HasSubstr("tarn dev"));
}

TEST_F(Credentials, that_others_can_read_are_a_problem) {
  ASSERT_EQ(run_tarn({"certs", "--secrets-dir", at("s")}).exit, 0);
  EXPECT_EQ(check_credentials(at("s")).at(0).health, Health::ok);
  EXPECT_EQ(check_credentials(at("s")).at(1).health, Health::ok);
  std::filesystem::permissions(at("s/ca.key"), std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  const Finding finding = check_credentials(at("s")).at(0);
  EXPECT_EQ(finding.health, Health::problem);
  EXPECT_THAT(finding.what, HasSubstr("chmod"));
}

TEST_F(Credentials, of_a_client_are_told_by_their_file) {
  ASSERT_EQ(run_tarn({"certs", "--secrets-dir", at("s")}).exit, 0);
  ASSERT_EQ(
      run_tarn({"token", "create", "--tenant", "demo", "--secrets-dir", at("s"), "--out", at("t")})
          .exit,
      0);
  EXPECT_THAT(check_credentials(at("t")).at(0).what, HasSubstr("t/token"));
  std::filesystem::remove(at("t/token"));
  EXPECT_EQ(check_credentials(at("t")).at(0).health, Health::problem);
}

}  // namespace
}  // namespace tarn::cli
