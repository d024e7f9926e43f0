#include "benchmarks/load/failover.h"

#include <chrono>
#include <optional>
#include <thread>

#include "benchmarks/load/pattern.h"
#include "benchmarks/load/worker_role.h"

namespace tarn::load {
namespace {

constexpr int64_t kRoundNsMax = 30'000'000'000;
constexpr uint32_t kAttemptMs = 2000;
// Of a session that was just created.
constexpr uint64_t kNewVersion = 1;
constexpr auto kAskAgain = std::chrono::milliseconds(1);

// What a conversation of one round has stored.
struct Story {
  Session session;
  std::vector<BlockHash> blocks;
};

// Who tells them, and where their bytes are.
struct Teller {
  Client client;
  Space space;
  Buffer buffer;
};

Expected<Teller> find_teller(Cluster& cluster, const FailoverOptions& options) {
  auto reach = cluster.client();
  if (!reach) return reach.error();
  auto client = Client::connect(*reach);
  if (!client) return client.error();
  auto space = client->open_space(bench_space(kFailoverSpace));
  if (!space) return space.error();
  auto buffer = client->allocate(options.blocks * options.block_bytes);
  if (!buffer) return buffer.error();
  return Teller{std::move(client).value(), std::move(space).value(), std::move(buffer).value()};
}

Expected<Story> write_story(Space& space, const Buffer& buffer, const FailoverOptions& options) {
  const uint64_t run = fresh_run();
  std::vector<PutItem> items;
  Append append;
  for (uint64_t i = 0; i < options.blocks; ++i) {
    const size_t at = i * options.block_bytes;
    fill({buffer.data() + at, options.block_bytes}, run + i);
    append.blocks.push_back(hash_of(run, i));
    items.push_back({append.blocks[i],
                     i == 0 ? BlockHash() : append.blocks[i - 1],
                     {buffer.slice(at, options.block_bytes)}});
  }
  append.token_count = uint64_t{options.blocks} * space.spec().block_tokens;
  CallOptions call;
  call.copies = 2;
  Transfer transfer = space.put_kv(items, call);
  if (auto ended = transfer.wait(); !ended) return ended.error();
  if (!transfer.all_ok()) return Error{Outcome::unavailable, transfer.outcomes()[0].message};
  auto session = space.create_session({}, 0, call);
  if (!session) return session.error();
  if (auto version = session->append(kNewVersion, append); !version) return version.error();
  return Story{std::move(session).value(), append.blocks};
}

// Who sent the last of the blocks, when all came.
std::optional<std::string> get_all(Space& space, const Buffer& buffer,
                                   const std::vector<BlockHash>& blocks, uint64_t block_bytes) {
  std::vector<GetItem> items;
  for (size_t i = 0; i < blocks.size(); ++i)
    items.push_back({blocks[i], {buffer.slice(i * block_bytes, block_bytes)}});
  CallOptions call;
  call.timeout_ms = kAttemptMs;
  Transfer transfer = space.get_kv(items, call);
  if (!transfer.wait() || !transfer.all_ok()) return std::nullopt;
  return transfer.outcomes().back().server;
}

Error never_again(const char* what) {
  return {Outcome::deadline_exceeded, std::string("after the kill ") + what + " for 30 s"};
}

Expected<int64_t> server_round(Cluster& cluster, Space& space, const Buffer& buffer,
                               const FailoverOptions& options) {
  auto story = write_story(space, buffer, options);
  if (!story) return story.error();
  const auto sender = get_all(space, buffer, story->blocks, options.block_bytes);
  const size_t which = sender ? cluster.find(*sender) : cluster.server_count();
  if (which == cluster.server_count()) return Error{Outcome::internal, "no server has sent them"};
  const int64_t begin_ns = now_ns();
  cluster.kill_server(which);
  while (!get_all(space, buffer, story->blocks, options.block_bytes)) {
    if (now_ns() - begin_ns > kRoundNsMax) return never_again("no good get");
  }
  const int64_t took_ns = now_ns() - begin_ns;
  if (auto started = cluster.start_server(which); !started) return started.error();
  if (auto whole = cluster.wait_until_whole(); !whole) return whole.error();
  return took_ns;
}

void count(report::Slice& slice, int64_t took_ns) {
  ++slice.blocks;
  slice.wall_ns += took_ns;
  slice.latency.add(static_cast<uint64_t>(took_ns));
}

Expected<Child> start_worker(Stage& stage, Cluster& cluster, const FailoverOptions& options,
                             const std::string& name) {
  auto client = cluster.client(name);
  if (!client) return client.error();
  ChildOptions child;
  child.words = {options.program, "--worker",         name, "--endpoint", client->endpoint,
                 "--credentials", client->credentials};
  child.is_talking = true;
  auto started = Child::start(stage, child);
  if (!started) return started;
  auto ready = started->hear(kChildAnswerMs);
  if (!ready) return ready.error();
  if (*ready != kWorkerReady) return Error{Outcome::internal, "a worker says: " + *ready};
  return started;
}

struct Named {
  std::string name;
  Child process;
};

size_t place_of(const std::vector<Named>& workers, const std::string& name) {
  size_t which = 0;
  while (which < workers.size() && workers[which].name != name)
    ++which;
  return which;
}

Expected<std::string> route(Client& client, const Space& space, const Session& session) {
  RouteQuery query;
  query.session_id = session.id();
  CallOptions call;
  call.timeout_ms = kAttemptMs;
  auto choice = client.route(space, query, call);
  if (!choice) return choice.error();
  return choice->worker;
}

// Until the router names another than `dead`, and that one has the session's first block.
Expected<Done> resume_elsewhere(Teller& teller, const Session& session, std::vector<Named>& workers,
                                const std::string& dead) {
  const int64_t end_ns = now_ns() + kRoundNsMax;
  while (now_ns() < end_ns) {
    const auto chosen = route(teller.client, teller.space, session);
    const size_t which = chosen ? place_of(workers, chosen.value()) : workers.size();
    if (which == workers.size() || chosen.value() == dead) {
      std::this_thread::sleep_for(kAskAgain);
      continue;
    }
    if (auto said = workers[which].process.say(session.id()); !said) return said;
    auto answer = workers[which].process.hear(kChildAnswerMs);
    if (!answer) return answer.error();
    if (*answer == kWorkerHasBlock) return Done{};
  }
  return never_again("no other worker resumed the session");
}

}  // namespace

Expected<report::Slice> kill_servers(Cluster& cluster, const FailoverOptions& options) {
  auto teller = find_teller(cluster, options);
  if (!teller) return teller.error();
  auto& [client, space, buffer] = *teller;
  report::Slice slice;
  for (uint32_t round = 0; round < options.rounds; ++round) {
    const auto took_ns = server_round(cluster, space, buffer, options);
    if (!took_ns) return took_ns.error();
    count(slice, took_ns.value());
  }
  return slice;
}

Expected<report::Slice> kill_workers(Stage& stage, Cluster& cluster,
                                     const FailoverOptions& options) {
  auto teller = find_teller(cluster, options);
  if (!teller) return teller.error();
  auto& [client, space, buffer] = *teller;
  report::Slice slice;
  std::vector<Named> workers;
  for (uint32_t round = 0; round < options.rounds; ++round) {
    while (workers.size() < 2) {
      const std::string name =
          "w" + std::to_string(round) + "-" + std::to_string(workers.size() + 1);
      auto worker = start_worker(stage, cluster, options, name);
      if (!worker) return worker.error();
      workers.push_back({name, std::move(worker).value()});
    }
    auto story = write_story(space, buffer, options);
    if (!story) return story.error();
    const auto chosen = route(client, space, story->session);
    if (!chosen) return chosen.error();
    const size_t which = place_of(workers, chosen.value());
    if (which == workers.size()) continue;
    const int64_t begin_ns = now_ns();
    workers[which].process.kill_hard();
    auto resumed = resume_elsewhere(*teller, story->session, workers, chosen.value());
    if (!resumed) return resumed.error();
    count(slice, now_ns() - begin_ns);
    workers.erase(workers.begin() + static_cast<ptrdiff_t>(which));
  }
  return slice;
}

}  // namespace tarn::load
