#pragma once

#include <map>
#include <memory>
#include <string>

#include "common/base/mutex.h"
#include "common/fabric/fabric.h"

namespace tarn::fabric {

class LoopMailbox;
struct LoopMessage;
class LoopCore;

// Messages that wait at one loop port; one more is refused with overloaded at the sender.
inline constexpr size_t kLoopInboxMessagesMax = 4096;

// Where the loop ports of a process find each other by name, and where tests break what lies
// between them. Thread-safe. Outlives its ports.
class LoopHub {
 public:
  LoopHub();
  ~LoopHub();
  LoopHub(const LoopHub&) = delete;
  LoopHub& operator=(const LoopHub&) = delete;

  // What happens to messages from one port to another, by name, until changed. `hold` keeps them,
  // and so their payload memory, in flight; going back to `pass` delivers them in order.
  enum class Path : uint8_t { pass, drop, hold };
  void set_path(const std::string& from, const std::string& to, Path path);

  // Ends both directions between two ports: what is in flight ends with unavailable, both sides'
  // connections are lost. New connections work.
  void lose(const std::string& a, const std::string& b);

 private:
  friend class LoopCore;
  friend class LoopPort;
  using Way = std::pair<std::string, std::string>;

  // Returns: ok, invalid_argument when the name is taken.
  Status add(std::shared_ptr<LoopMailbox> mailbox);
  void remove(const LoopMailbox& mailbox);
  std::shared_ptr<LoopMailbox> find(const std::string& name);
  // Returns: ok, overloaded.
  Status carry(std::shared_ptr<LoopMessage> message, LoopMailbox& to);

  Mutex x_mutex;
  std::map<std::string, std::shared_ptr<LoopMailbox>> x_mailboxes TARN_GUARDED_BY(x_mutex);
  struct Fault;
  std::map<Way, std::unique_ptr<Fault>> x_faults TARN_GUARDED_BY(x_mutex);
};

// A fabric within one process, for tests and for programs that hold both sides: the receiver copies
// straight out of the sender's memory, taking the CRC32C in the same pass. One-thread, like each
// port; two ports of one hub may live on two threads. Life: open, set_handler, progress...,
// destroy; peers then see their connections lost.
class LoopPort : public Port {
 public:
  // Returns: ok, invalid_argument (empty name, or taken), unavailable (no eventfd).
  static Result<std::unique_ptr<LoopPort>> open(LoopHub& hub, std::string name);
  ~LoopPort() override;

  Kind kind() const override { return Kind::loop; }
  // The port's name.
  std::string address() const override;
  std::string transport() const override { return "memory of this process"; }
  void set_handler(Handler handler) override;
  // Returns: ok, invalid_argument (empty address), unavailable (no port of that name).
  Result<std::unique_ptr<Connection>> connect(ConnectOptions options) override;
  size_t progress() override;
  bool arm() override;
  int event_fd() const override;
  bool idle() const override;

  // False: it hands out no views, like a fabric that maps nothing. Views are of messages whose
  // payload is one part, and keep the send going.
  void set_maps(bool maps);

 private:
  explicit LoopPort(std::shared_ptr<LoopCore> core) : x_core(std::move(core)) {}
  // Shared with the connections, which may outlive the port.
  std::shared_ptr<LoopCore> x_core;
};

}  // namespace tarn::fabric
