#pragma once

#include <cstdint>

#include <absl/container/flat_hash_map.h>

#include "server/lane/backups.h"
#include "server/lane/desk.h"
#include "server/lane/pool.h"

namespace tarn::lane {

// Takes puts: checks, reserves, pulls the payload, verifies it, makes it visible, feeds the backups
// and answers when the class is met. One-thread (the lane's). Limit: kPutsMax at a time.
class PutService {
 public:
  static constexpr size_t kPutsMax = 1024;

  PutService(Desk& desk, Backups& backups);

  // Takes the request, or refuses it. `tenant` is whose block it is.
  void begin(Peer& peer, wire::Route route, const wire::PutRequest& request,
             fabric::Payload& payload);

  // A block left the tier: its copies elsewhere are to go as well, as far as this primary has fed
  // them, or, when a requester asked for its removal, wherever the ring would have them.
  void on_removed(const block::BlockHeader& header, bool is_asked);

  size_t tick(Instant now);

  bool is_idle() const { return x_works.used() == 0; }

 private:
  struct Work {
    bool in_use = false;
    bool is_receiving = false;
    bool is_new = false;   // this put brought the bytes
    bool is_less = false;  // it is kept in memory alone, and that is welcome
    Peer* peer = nullptr;
    wire::Route route;
    wire::PutRequest request;
    block::BlockKey key;
    Position position;
    Instant began;
    Instant stage_began;
    Instant deadline;
    uint8_t copies_wanted = 1;
    store::Slot slot;
    store::Pin pin;
    Feed feed;
  };

  Status check(const Peer& peer, const wire::PutRequest& request, Position position) const;
  Status check_place(const wire::PutRequest& request, Position position) const;
  Work* take(Peer& peer, wire::Route route, const wire::PutRequest& request);
  store::BlockPut block_put(const Work& work) const;
  void receive(Work& work, store::Slot slot, fabric::Payload& payload);
  static bool is_intact(const Work& work, uint32_t crc32c);
  void on_received(Work& work, Code code, uint32_t crc32c);
  void keep(Work& work);
  void on_persisted(Work& work, const Status& outcome);
  void replicate(Work& work);
  void feed_backups(Work& work);
  void remove_copies(const block::BlockHeader& header, uint32_t copies);
  void on_fed(Work& work);
  void answer(Work& work, uint8_t copies, const Feed* feed);
  void refuse(Work& work, const Status& why);
  void finish(Work& work);

  Desk& x_desk;
  Backups& x_backups;
  Pool<Work> x_works;
  // Blocks that this primary has fed to backups, and in how many copies they are.
  absl::flat_hash_map<block::BlockKey, uint8_t, std::hash<block::BlockKey>> x_copies;
};

}  // namespace tarn::lane
