#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/fabric/local_session.h"
#include "common/fabric/local_socket.h"

namespace tarn::fabric {

// Sockets that have not said who they are; the oldest makes room for one more.
inline constexpr size_t kLocalStrangersMax = 64;
// Sockets of one connection: a requester that connects anew may be there twice for a moment.
inline constexpr size_t kLocalSocketsPerPeerMax = 4;

// The state of a local port, which its connections share. One-thread (the port's).
class LocalCore : public std::enable_shared_from_this<LocalCore> {
 public:
  struct Setup {
    LocalFolder folder;
    std::string own_address;
    std::shared_ptr<LocalDesk> desk;
    LocalSocket listener{-1};  // a server's
    std::string listener_name;
    int epoll_fd = -1;
  };
  explicit LocalCore(Setup setup);
  ~LocalCore();

  const std::string& address() const { return x_setup.own_address; }
  const LocalFolder& folder() const { return x_setup.folder; }
  LocalDesk& desk() const { return *x_setup.desk; }
  int event_fd() const { return x_setup.epoll_fd; }
  size_t session_count() const { return x_sessions.size(); }

  // Returns: the connection's number, and as Port::connect.
  Result<uint64_t> connect(ConnectOptions options, const Domain& may_map, const Domain& owner);
  Status send(uint64_t connection, Bytes header, std::span<const Bytes> payload, SendDone done);
  void close(uint64_t connection);
  size_t progress();
  bool arm();
  bool idle() const;
  // Ends everything; callbacks of what was in flight are called.
  void shut_down();

 private:
  struct Peer {
    std::string address;  // of the client; a server's
    uint64_t link = 0;
    LostHandler on_lost;
    Domain may_map{};
    Domain owner{};
    uint64_t session = 0;  // the newest; 0: none yet
    bool lost = false;
  };
  struct Entry {
    std::unique_ptr<LocalSession> session;
    uint64_t peer = 0;     // 0: a stranger yet
    LocalProcess process;  // of the client; a server's
  };

  // Returns: the session's number, unavailable.
  Result<uint64_t> add_session(LocalSocket socket, uint64_t peer);
  LocalProcess watch_process_of(const LocalSocket& socket, uint64_t number);
  bool watch(int fd, uint64_t as);
  void listen(bool on);
  void look_at_sockets();
  void accept_some();
  std::shared_ptr<LocalHoldings> holdings_of(const Domain& owner);
  Status on_hello(LocalSession& session, const LocalNote& note);
  void bury_failed();
  void tell_lost(uint64_t connection, Status why);
  void drop_strangers();

  Setup x_setup;
  bool x_is_shut = false;
  std::map<uint64_t, Peer> x_peers;                           // by connection
  std::map<uint64_t, Entry> x_sessions;                       // by number
  std::map<Domain, std::weak_ptr<LocalHoldings>> x_holdings;  // by owner; of what has sessions
  uint64_t x_last_id = 0;
  Instant x_listen_due;  // where the listener rests
  bool x_listens = true;
  Instant x_sockets_due;
  bool x_was_armed = false;
};

// The address of a server's port: a socket's name and a check, so that a damaged one is noticed.
std::string local_address_of(const std::string& name);
// Returns: the name, invalid_argument.
Result<std::string> local_name_in(const std::string& address);

}  // namespace tarn::fabric
