#include "common/fabric/local_core.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/block/checksum.h"
#include "common/fabric/local_closing.h"

namespace tarn::fabric {
namespace {

// A busy port looks at its sockets, which matter when somebody comes or goes, this often.
constexpr Nanos kSocketsEvery = std::chrono::microseconds(200);
constexpr int kAcceptsPerLook = 16;
constexpr int kEventsPerLook = 64;
constexpr uint64_t kListener = 0;
// Beside the number of a session: its peer's process.
constexpr uint64_t kProcess = 1ull << 63;
// Whom a process without files to spare does not take now waits so long, and it sleeps.
constexpr Nanos kListenerRests = std::chrono::milliseconds(100);
constexpr size_t kClientAddressBytes = 32;

bool is_client_address(const std::string& address) {
  return address.size() == kClientAddressBytes &&
         std::all_of(address.begin(), address.end(), [](char each) {
           return (each >= '0' && each <= '9') || (each >= 'a' && each <= 'f');
         });
}

std::string check_of(const std::string& name) {
  char digits[9];
  std::snprintf(digits, sizeof(digits), "%08x", block::crc32c(0, name.data(), name.size()));
  return digits;
}

}  // namespace

std::string local_address_of(const std::string& name) {
  return name + "/" + check_of(name);
}

Result<std::string> local_name_in(const std::string& address) {
  const size_t cut = address.rfind('/');
  const std::string name = address.substr(0, cut);
  if (cut == std::string::npos || address.substr(cut + 1) != check_of(name)) {
    return invalid_argument("this is no address of a local port");
  }
  return name;
}

LocalCore::LocalCore(Setup setup) : x_setup(std::move(setup)) {
  TARN_CHECK(x_setup.epoll_fd >= 0 && x_setup.desk != nullptr);
  desk().on_hello = [this](LocalSession& session, const LocalNote& note) {
    return on_hello(session, note);
  };
  desk().on_view_end = [this](uint64_t number, uint32_t id) {
    const auto found = x_sessions.find(number);
    if (found != x_sessions.end()) found->second.session->release_view(id);
  };
  if (x_setup.listener.fd() < 0) return;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kListener;
  TARN_CHECK(::epoll_ctl(x_setup.epoll_fd, EPOLL_CTL_ADD, x_setup.listener.fd(), &event) == 0);
}

LocalCore::~LocalCore() {
  TARN_CHECK(x_is_shut);
  ::close(x_setup.epoll_fd);
}

bool LocalCore::watch(int fd, uint64_t as) {
  if (TARN_FAULT_POINT("fabric.local_watch")) return false;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = as;
  return ::epoll_ctl(x_setup.epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

Result<uint64_t> LocalCore::add_session(LocalSocket socket, uint64_t peer) {
  const uint64_t number = ++x_last_id;
  if (!watch(socket.fd(), number)) return unavailable("a local socket cannot be watched");
  LocalProcess process;
  if (desk().is_server) process = watch_process_of(socket, number);
  x_sessions[number] = {std::make_unique<LocalSession>(x_setup.desk, number, std::move(socket)),
                        peer, std::move(process)};
  return number;
}

// A child of the client that has its socket, and knows nothing of it, keeps it open after the
// client's death.
LocalProcess LocalCore::watch_process_of(const LocalSocket& socket, uint64_t number) {
  LocalProcess process = LocalProcess::behind(socket);
  if (process.fd() < 0 || !watch(process.fd(), number | kProcess)) return {};
  return process;
}

Result<uint64_t> LocalCore::connect(ConnectOptions options, const Domain& may_map,
                                    const Domain& owner) {
  TARN_CHECK(!x_is_shut);
  const uint64_t id = ++x_last_id;
  Peer peer{options.peer_address,
            options.link,
            std::move(options.on_lost),
            may_map,
            owner == Domain{} ? may_map : owner,
            0,
            false};
  if (desk().is_server) {
    if (!is_client_address(options.peer_address)) {
      return invalid_argument("this is no address of a local client");
    }
  } else {
    TARN_ASSIGN_OR_RETURN(const std::string name, local_name_in(options.peer_address));
    TARN_ASSIGN_OR_RETURN(LocalSocket socket, LocalSocket::connect(x_setup.folder, name));
    TARN_ASSIGN_OR_RETURN(peer.session, add_session(std::move(socket), id));
    LocalSession& session = *x_sessions[peer.session].session;
    if (const Status greeted = session.greet(x_setup.own_address, options.link); !greeted.is_ok()) {
      x_sessions.erase(peer.session);
      return unavailable(greeted.message());
    }
  }
  x_peers.emplace(id, std::move(peer));
  return id;
}

Status LocalCore::send(uint64_t connection, Bytes header, std::span<const Bytes> payload,
                       SendDone done) {
  const auto found = x_peers.find(connection);
  if (x_is_shut || found == x_peers.end()) return unavailable("the connection is closed");
  if (found->second.lost) return unavailable("the local peer is gone");
  if (found->second.session == 0) return overloaded("the local client has not come yet");
  return x_sessions.at(found->second.session).session->send(header, payload, std::move(done));
}

void LocalCore::close(uint64_t connection) {
  if (x_peers.erase(connection) == 0) return;
  for (auto& [number, entry] : x_sessions) {
    if (entry.peer == connection) entry.session->end(Code::cancelled);
  }
}

std::shared_ptr<LocalHoldings> LocalCore::holdings_of(const Domain& owner) {
  std::erase_if(x_holdings, [](const auto& each) { return each.second.expired(); });
  if (const auto known = x_holdings[owner].lock()) return known;
  auto made = std::make_shared<LocalHoldings>();
  x_holdings[owner] = made;
  return made;
}

// Which connection a client that has come belongs to: its address is a secret between it and the
// servers that it has shown its ticket to. The newest that still waits for its socket comes first.
Status LocalCore::on_hello(LocalSession& session, const LocalNote& note) {
  if (note.a > kLocalVersion || note.b < kLocalVersion) {
    return unsupported("this server speaks version " + std::to_string(kLocalVersion) +
                       " of the local fabric");
  }
  const std::string address = text_of(note);
  uint64_t chosen = 0;
  for (const auto& [id, peer] : x_peers) {
    if (peer.lost || peer.address != address) continue;
    const bool is_better = chosen == 0 || peer.session == 0 || x_peers.at(chosen).session != 0;
    if (is_better) chosen = id;
  }
  if (chosen == 0) return not_found("there is no such connection");
  const auto sockets = std::count_if(x_sessions.begin(), x_sessions.end(), [&](const auto& each) {
    return each.second.peer == chosen && !each.second.session->is_over();
  });
  if (static_cast<size_t>(sockets) >= kLocalSocketsPerPeerMax) {
    return overloaded("the connection has too many sockets");
  }
  Peer& peer = x_peers.at(chosen);
  auto held = holdings_of(peer.owner);
  if (held->ended >= desk().limits.owner_ended) {
    return overloaded("too many connections of this owner are over but for their views");
  }
  TARN_RETURN_IF_ERROR(session.welcome(peer.link, peer.may_map, std::move(held)));
  for (auto& [number, entry] : x_sessions) {
    if (entry.session.get() != &session) continue;
    entry.peer = chosen;
    peer.session = number;
  }
  return Status::ok();
}

void LocalCore::accept_some() {
  // Those who pass files that are slow to close have to stop.
  if (files_to_close() >= kClosingMany) return listen(false);
  for (int count = 0; count < kAcceptsPerLook; ++count) {
    auto socket = x_setup.listener.accept();
    if (!socket) {
      // Whoever waits would wake this thread again and again.
      if (socket.error().code() == Code::overloaded) listen(false);
      return;
    }
    drop_strangers();
    // Where it cannot be watched its socket closes, and it asks another server.
    (void)add_session(std::move(socket).value(), 0);
  }
}

void LocalCore::listen(bool on) {
  epoll_event event{};
  event.events = on ? static_cast<uint32_t>(EPOLLIN) : 0;
  event.data.u64 = kListener;
  TARN_CHECK(::epoll_ctl(x_setup.epoll_fd, EPOLL_CTL_MOD, x_setup.listener.fd(), &event) == 0);
  x_listens = on;
  x_listen_due = system_clock().now() + kListenerRests;
}

// Whoever opens sockets and says nothing shuts nobody out.
void LocalCore::drop_strangers() {
  size_t count = 0;
  uint64_t oldest = 0;
  for (const auto& [number, entry] : x_sessions) {
    if (!entry.session->is_waiting()) continue;
    if (count++ == 0) oldest = number;
  }
  if (count < kLocalStrangersMax) return;
  x_sessions.at(oldest).session->end(Code::unavailable);
  x_sessions.erase(oldest);
}

void LocalCore::look_at_sockets() {
  epoll_event events[kEventsPerLook];
  const int count = ::epoll_wait(x_setup.epoll_fd, events, kEventsPerLook, 0);
  for (int i = 0; i < count; ++i) {
    if (events[i].data.u64 == kListener) {
      accept_some();
      continue;
    }
    const auto found = x_sessions.find(events[i].data.u64 & ~kProcess);
    if (found == x_sessions.end()) continue;
    if ((events[i].data.u64 & kProcess) != 0) {
      found->second.session->bury_peer();
    } else {
      found->second.session->read_socket();
    }
  }
}

size_t LocalCore::progress() {
  const Instant now = system_clock().now();
  if (std::exchange(x_was_armed, false) || now >= x_sockets_due) {
    x_sockets_due = now + kSocketsEvery;
    look_at_sockets();
  }
  if (!x_listens && now >= x_listen_due) listen(true);
  size_t done = 0;
  for (auto& [number, entry] : x_sessions)
    done += entry.session->visit();
  bury_failed();
  return done + desk().ended.call_all();
}

// Ends the sessions that have failed and forgets those that are over.
void LocalCore::bury_failed() {
  for (auto each = x_sessions.begin(); each != x_sessions.end();) {
    LocalSession& session = *each->second.session;
    if (!session.failure().is_ok() && !session.is_over()) {
      session.end(Code::unavailable);
      const uint64_t connection = each->second.peer;
      const auto peer = x_peers.find(connection);
      if (peer != x_peers.end() && peer->second.session == each->first) {
        peer->second.lost = true;
        desk().ended.add([this, connection](Status why) { tell_lost(connection, std::move(why)); },
                         unavailable(session.failure().message()));
      }
    }
    each = session.is_done() ? x_sessions.erase(each) : std::next(each);
  }
}

void LocalCore::tell_lost(uint64_t connection, Status why) {
  const auto found = x_peers.find(connection);
  if (found == x_peers.end() || !found->second.on_lost) return;
  // Moved out first: the handler may close the connection, and with it its own storage.
  const LostHandler handler = std::move(found->second.on_lost);
  handler(std::move(why));
}

bool LocalCore::arm() {
  x_was_armed = true;
  bool armed = desk().ended.empty();
  for (auto& [number, entry] : x_sessions)
    armed = entry.session->arm() && armed;
  return armed;
}

bool LocalCore::idle() const {
  return desk().ended.empty() &&
         std::all_of(x_sessions.begin(), x_sessions.end(),
                     [](const auto& each) { return each.second.session->is_idle(); });
}

void LocalCore::shut_down() {
  TARN_CHECK(!x_is_shut);
  x_is_shut = true;
  desk().handler = nullptr;
  desk().on_view_end = nullptr;
  desk().on_hello = nullptr;
  x_peers.clear();
  for (auto& [number, entry] : x_sessions) {
    entry.session->end(Code::cancelled, true);
  }
  x_sessions.clear();
  if (!x_setup.listener_name.empty()) {
    ::unlink((x_setup.folder.path + "/" + x_setup.listener_name).c_str());
  }
  x_setup.listener.close();
  // Callbacks may add others, but start nothing any more.
  while (desk().ended.call_all() > 0) {
  }
  desk().keeper = nullptr;
}

}  // namespace tarn::fabric
