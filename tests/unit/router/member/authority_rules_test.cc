// What routers rely on of either authority: one winner of each swap, nothing lost or seen to go
// back, and a lock that ends with its holder.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/units.h"
#include "common/ring/slots.h"
#include "tests/unit/router/member/authority_fixture.h"

namespace tarn::member {
namespace {

TEST_P(AuthorityTest, of_swaps_at_the_same_time_one_wins_each) {
  constexpr int kRouters = 4;
  constexpr uint64_t kRounds = 12;
  std::vector<std::unique_ptr<Authority>> routers;
  for (int i = 0; i < kRouters; ++i)
    routers.push_back(open("r" + std::to_string(i)));
  std::atomic<uint64_t> revision = 0;
  std::atomic<int> winners = 0;
  std::barrier round(kRouters);
  std::vector<std::thread> threads;
  for (auto& router : routers) {
    threads.emplace_back([&] {
      for (uint64_t epoch = 1; epoch <= kRounds; ++epoch) {
        round.arrive_and_wait();
        const uint64_t expected = revision;
        round.arrive_and_wait();
        const auto swapped = router->compare_and_swap(state_of(epoch), expected);
        if (swapped.has_value()) {
          ++winners;
          revision = *swapped;
        } else {
          EXPECT_EQ(swapped.error().code(), Code::conflict) << swapped.error().to_string();
        }
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  EXPECT_EQ(winners, static_cast<int>(kRounds));
  const auto stored = routers[0]->load();
  EXPECT_EQ(stored->revision, revision);
  EXPECT_EQ(stored->state->config.epoch.value, kRounds);
}

TEST_P(AuthorityTest, keeps_the_largest_cluster_there_is) {
  ClusterState state = state_of(1);
  state.config.members.clear();
  for (uint32_t id = 1; id <= ring::kMembersMax; ++id) {
    ring::Member member;
    member.id = {id};
    member.name = "s" + std::to_string(id);
    member.control_endpoint = std::string(240, 'h') + ":7000";
    member.incarnation = {id};
    member.domain = std::string(kNameBytesMax, 'd');
    member.state = ring::MemberState::up;
    state.config.members.push_back(member);
  }
  state.next_server_id = ring::kMembersMax + 1;
  state.config.slots = ring::assign_slots(state.config);
  state.spaces.clear();
  for (size_t i = 0; i < kNamedSpacesMax; ++i) {
    NamedSpace space{"tenant-" + std::to_string(i), {}};
    space.spec.model = std::string(kNameBytesMax, 'm');
    state.spaces.push_back(space);
  }
  const auto authority = open("r1");
  const auto swapped = authority->compare_and_swap(state, 0);
  ASSERT_TRUE(swapped.has_value()) << swapped.status().to_string();
  const auto stored = open("r2")->load();
  ASSERT_TRUE(stored.has_value()) << stored.status().to_string();
  EXPECT_EQ(*stored->state, state);
}

TEST_P(AuthorityTest, is_never_seen_to_go_back) {
  const auto writer = open("r1");
  const auto reader = open_started("r2");
  std::atomic<bool> done = false;
  std::thread watcher([&] {
    uint64_t newest = 0;
    while (!done) {
      const auto latest = reader->latest();
      EXPECT_GE(latest->revision, newest);
      newest = latest->revision;
      std::this_thread::yield();
    }
  });
  uint64_t revision = 0;
  for (uint64_t epoch = 1; epoch <= 20; ++epoch) {
    revision = writer->compare_and_swap(state_of(epoch), revision).value();
    (void)reader->load();
  }
  EXPECT_TRUE(eventually([&] { return reader->latest()->revision == revision; }));
  done = true;
  watcher.join();
}

TEST_P(AuthorityTest, refuses_a_revision_that_is_not_the_one_that_stands) {
  const auto authority = open("r1");
  const uint64_t first = authority->compare_and_swap(state_of(1), 0).value();
  const uint64_t second = authority->compare_and_swap(state_of(2), first).value();
  for (const uint64_t wrong : {uint64_t{0}, first, second + 1, second + 1000}) {
    EXPECT_EQ(authority->compare_and_swap(state_of(9), wrong).status().code(), Code::conflict)
        << wrong;
  }
  EXPECT_EQ(authority->load()->state->config.epoch, Epoch{2});
  EXPECT_TRUE(authority->reachable()) << "a conflict is an answer";
}

TEST_P(AuthorityTest, says_nothing_any_more_once_it_has_stopped) {
  const auto writer = open("r1");
  std::atomic<int> told = 0;
  const auto reader = open("r2");
  reader->start([&] { ++told; });
  ASSERT_TRUE(eventually([&] { return told > 0; }));
  reader->stop();
  const int before = told;
  ASSERT_TRUE(writer->compare_and_swap(state_of(1), 0).has_value());
  EXPECT_TRUE(writer->load().has_value());
  EXPECT_EQ(told, before);
  EXPECT_FALSE(reader->holds_lock());
  reader->stop();  // again
}

TEST_P(AuthorityTest, gives_its_lock_to_one_of_many) {
  std::vector<std::unique_ptr<Authority>> routers;
  for (int i = 0; i < 3; ++i)
    routers.push_back(open_started("r" + std::to_string(i)));
  for (int left = 3; left > 0; --left) {
    const auto holders = [&] {
      int count = 0;
      for (const auto& router : routers)
        count += router->holds_lock() ? 1 : 0;
      return count;
    };
    ASSERT_TRUE(eventually([&] { return holders() == 1; })) << left;
    // The one that has it goes.
    std::erase_if(routers, [](const auto& router) { return router->holds_lock(); });
    EXPECT_EQ(routers.size(), static_cast<size_t>(left - 1));
  }
}

TEST_P(AuthorityTest, goes_on_where_an_earlier_life_left_off) {
  uint64_t revision = 0;
  for (uint64_t life = 1; life <= 3; ++life) {
    const auto router = open_started("r1");
    ASSERT_TRUE(eventually([&] { return router->holds_lock(); })) << life;
    EXPECT_EQ(router->latest()->revision, revision);
    revision = router->compare_and_swap(state_of(life), revision).value();
  }
}

// A process that only holds the lock of a folder's controller.
class LockHolder {
 public:
  explicit LockHolder(const std::string& path) : x_path(path) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    x_pid = ::fork();
    if (x_pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int fd = ::open(x_path.c_str(), O_RDWR | O_CREAT, 0600);
      const char answer = fd >= 0 && ::flock(fd, LOCK_EX) == 0 ? 'y' : 'n';
      (void)!::write(ready[1], &answer, 1);
      while (true)
        ::pause();
    }
    char answer = 'n';
    EXPECT_EQ(::read(ready[0], &answer, 1), 1);
    EXPECT_EQ(answer, 'y');
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ~LockHolder() { kill(); }
  void kill() {
    if (x_pid <= 0) return;
    ::kill(x_pid, SIGKILL);
    ::waitpid(x_pid, nullptr, 0);
    x_pid = -1;
  }

 private:
  const std::string x_path;
  pid_t x_pid = -1;
};

TEST(FileLock, ends_with_the_process_that_holds_it) {
  TemporaryFolder folder;
  const auto authority =
      std::move(open_authority({"file:" + folder.path() + "/a", "test", "r1"})).value();
  LockHolder holder(folder.path() + "/a/controller.lock");
  authority->start([] {});
  ASSERT_TRUE(eventually([&] { return authority->latest() != nullptr; }));
  EXPECT_FALSE(authority->holds_lock());
  // Without the lock it may still swap: the lock says who should, the revision who did.
  EXPECT_TRUE(authority->compare_and_swap(state_of(1), 0).has_value());
  holder.kill();
  EXPECT_TRUE(eventually([&] { return authority->holds_lock(); }));
}

}  // namespace
}  // namespace tarn::member
