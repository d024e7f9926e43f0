#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/base/ticket_key.h"
#include "common/base/units.h"

namespace tarn::ring {

inline constexpr ServerId kNoServer{0};

// Limits of a config.
inline constexpr uint32_t kMembersMax = 1024;
inline constexpr uint32_t kWeightMax = 1000;
inline constexpr uint32_t kLanesMax = 1024;
inline constexpr uint32_t kTicketKeysMax = 8;
// Synced members that each slot should have, as far as there are servers.
inline constexpr uint32_t kSyncedTarget = 2;
// Weight of one ordinary server.
inline constexpr uint32_t kWeightOne = 100;

// The numbers travel on the wire and never change.
enum class MemberState : uint8_t {
  joining = 0,   // registered, takes no part yet
  up = 1,        // owns positions and slots
  draining = 2,  // serves reads of what it still owns; gets nothing new
  down = 3,      // not heard of; its slots have been taken over where that was possible
};

std::string_view member_state_name(MemberState state);

// A storage server as the config knows it. Value type.
struct Member {
  ServerId id;
  std::string name;
  std::string control_endpoint;  // host:port of its gRPC
  Incarnation incarnation;
  uint32_t weight = kWeightOne;  // kWeightOne is 1.0; 0 owns no positions
  std::string domain;            // failure domain; empty means a domain of its own
  MemberState state = MemberState::joining;
  uint32_t lanes = 1;

  friend bool operator==(const Member&, const Member&) = default;
};

// The failure domain in use: `domain`, or the server alone.
std::string domain_of(const Member& member);

// Who holds a session slot.
//  - never assigned: primary is kNoServer, both lists empty;
//  - in use: primary is one of synced;
//  - lost: primary is the last server that had the log, synced is empty, because it came back
//    without it. Nobody may begin a fresh log there; it takes an operator (abandon_slots).
struct SlotEntry {
  ServerId primary;
  std::vector<ServerId> synced;    // all hold every acknowledged append
  std::vector<ServerId> learners;  // are being given the log
  // Whatever was written under an epoch before this one was given up and counts for nothing.
  Epoch begun = {};

  friend bool operator==(const SlotEntry&, const SlotEntry&) = default;
};

using SlotTable = std::vector<SlotEntry>;

// Deletes all blocks and sessions of a tenant, or of one space of it, that were written before
// `epoch`.
struct Floor {
  TenantId tenant;
  SpaceId space;  // zero means all spaces
  Epoch epoch;

  friend bool operator==(const Floor&, const Floor&) = default;
};

// The state of the cluster in one epoch. Value type; never edited in place once published.
struct ClusterConfig {
  Epoch epoch;
  std::string cluster;
  std::vector<Member> members;
  SlotTable slots = SlotTable(kSessionSlots);
  std::vector<TicketKey> ticket_keys;
  std::map<std::string, uint64_t> revocations;  // by tenant name: tickets below are void
  std::vector<Floor> floors;

  friend bool operator==(const ClusterConfig&, const ClusterConfig&) = default;
};

// The member, or null.
const Member* find_member(const ClusterConfig& config, ServerId id);
Member* find_member(ClusterConfig& config, ServerId id);

// The epoch below which writes of this tenant and space are deleted; 0 when there is none.
Epoch floor_of(const ClusterConfig& config, const TenantId& tenant, const SpaceId& space);

// Returns: ok, invalid_argument naming the field: limits, ids that repeat or are 0, names that
// repeat, a slot table of another size, slots that name unknown servers, a server twice, or a
// primary that is not synced (except in a lost slot).
Status validate(const ClusterConfig& config);

}  // namespace tarn::ring
