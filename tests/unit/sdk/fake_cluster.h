#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/ring/config.h"
#include "tarn/tarn.h"

namespace tarn::sdk {

inline constexpr const char* kTenant = "acme";

// A router and storage servers that keep what they are given, in this process, over real gRPC on
// loopback: what the SDK is tested against. Their oddities are set by the tests.

// What the routers of one cluster agree on. Thread-safe.
struct ClusterState {
  std::mutex mutex;
  std::condition_variable changed;  // the config
  bool has_watch = true;            // false: routers that know no WatchConfig
  uint32_t watches = 0;             // streams that were begun
  uint32_t configs = 0;             // answers of GetConfig
  int64_t ticket_life_ms = 60'000;
  bool issues_tickets = true;
  std::string only_token;  // callers that show another are refused; empty: everyone is taken
  ring::ClusterConfig config;
  std::shared_ptr<void> sessions;  // the routers' own
  bool looks_at_spaces = true;     // false: servers that know sessions by their id alone
  // Of the blocks of a session: "ANCHOR+INDEX", in order.
  std::map<std::string, std::vector<std::string>> placed;
  std::map<std::string, uint64_t> applied;  // request id to version
  struct Located {
    std::string anchor;
    uint32_t index = 0;
    bool is_last = false;
  };
  std::map<std::string, Located> located;
  uint32_t locates = 0;
  std::multimap<std::string, uint32_t> missed;  // as reported: hash to server
  uint32_t tickets = 0;
  uint32_t appends = 0;
  struct WorkerSeen {
    std::string endpoint;
    uint32_t queued = 0;
    bool draining = false;
  };
  std::map<std::string, WorkerSeen> workers;
  uint32_t registrations = 0;
  uint32_t lose_answers = 0;             // of changes: applied, but answered with unavailable
  std::vector<std::string> request_ids;  // of all tries of changes, in order
  uint32_t pages = 0;                    // of ListSessions
  bool repeats_page = false;             // ListSessions leads nowhere
  bool drains_workers = false;
};

class FakeRouter {
 public:
  explicit FakeRouter(ClusterState& state);
  ~FakeRouter();

  std::string endpoint() const { return "plain://127.0.0.1:" + std::to_string(x_port); }
  void stop();
  // Takes calls and answers none, as SIGSTOP does; and goes on.
  void hang(bool hangs);

 private:
  struct Services;
  std::unique_ptr<Services> x_services;
  int x_port = 0;
};

class FakeServer {
 public:
  struct Options {
    std::string name = "s1";
    uint32_t lanes = 2;
    bool has_ucx = false;
  };
  explicit FakeServer(Options options);
  ~FakeServer();

  ring::Member member(uint32_t id) const;
  // Ends the process, as far as a client can tell.
  void stop();
  // Stops answering (and reading), as SIGSTOP does; and goes on.
  void hang(bool hangs);

  size_t block_count() const;
  bool has(const std::string& hash) const;
  void corrupt(const std::string& hash);
  // It has a block that nobody put here: another server's copy.
  void copy(const std::string& hash, const std::string& bytes);
  // The anchor that a block was put under.
  std::string anchor_of(const std::string& hash) const;
  uint32_t connects() const;
  uint32_t disconnects() const;
  // The ticket that was shown last.
  std::string last_ticket() const;
  // The next so many wire-ups are refused with this code.
  void refuse_connects(Code code, uint32_t times);
  // The next so many requests are answered with this code.
  void refuse(Code code, uint32_t times);
  // From now on the block is answered with this code, whatever there is.
  void judge(const std::string& hash, Code code);
  // As servers from before the requests for pieces, for those who connect from now on.
  void know_no_pieces();
  // Holds back what it would answer to pieces that begin at `offset` or later, until told again.
  void hold_pieces_from(uint32_t offset);
  // Holds back what it would answer to gets of these blocks, until told again.
  void hold_blocks(const std::vector<std::string>& hashes);
  // Requests for pieces that came, and for whole blocks.
  uint32_t piece_requests() const;
  uint32_t block_requests() const;

 private:
  class Inside;
  std::unique_ptr<Inside> x_inside;
};

// A cluster with a router and so many servers, and what a client needs to reach it.
class FakeCluster {
 public:
  explicit FakeCluster(size_t servers, bool has_ucx = false);

  ClientOptions options() const;
  FakeServer& server(size_t i) { return *x_servers.at(i); }
  ClusterState& state() { return x_state; }
  // A config in which the i-th server is down.
  void declare_down(size_t i);
  // As it was, in the next epoch.
  void next_epoch();
  void add_router();
  FakeRouter& router(size_t i) { return *x_routers.at(i); }

 private:
  ClusterState x_state;
  std::vector<std::unique_ptr<FakeServer>> x_servers;
  std::vector<std::unique_ptr<FakeRouter>> x_routers;
  std::string x_token;
};

}  // namespace tarn::sdk
