#include "server/wiring.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>
#include <utility>

#include "common/auth/secrets_dir.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/fabric/grpc_bulk_service.h"
#include "common/fabric/grpc_port.h"
#include "common/fabric/local_port.h"
#include "common/fabric/ucx_context.h"
#include "common/fabric/ucx_port.h"
#include "common/fabric/ucx_settings.h"
#include "common/memory/size_class.h"
#include "common/metrics/endpoint.h"
#include "common/ring/position.h"
#include "common/rpc/credentials.h"
#include "server/flash/drive/flash_drives.h"
#include "server/lane/lane.h"
#include "server/object/store/object_store.h"
#include "server/rpc/backup_connector.h"
#include "server/rpc/cluster_link.h"
#include "server/rpc/connections.h"
#include "server/rpc/door.h"
#include "server/rpc/last_config.h"
#include "server/rpc/rpc_server.h"
#include "server/rpc/session_peers.h"
#include "server/rpc/session_service.h"
#include "server/rpc/storage_service.h"

namespace tarn::server {
namespace {

constexpr Nanos kSlabsWithin = std::chrono::seconds(30);
constexpr Millis kSessionCallTimeout{2000};
// At the end, what waits for the object store has so long to get there.
constexpr Nanos kObjectFinishMax = std::chrono::seconds(3);
constexpr int64_t kOwnTokenLifeMs = 365ll * 24 * 3'600'000;
// Slabs that lie ready take at most this part of the memory.
constexpr uint64_t kReadyShare = 16;
constexpr uint64_t kReadyMax = 8;
// Room in the numbering of changes for each millisecond of a server's life.
constexpr uint64_t kChangesPerMs = 1 << 16;

// Memory of clients that all lanes together map; the kernel lets a process have 65,530 mappings.
constexpr size_t kLocalMappingsMax = 16'384;

struct Credentials {
  rpc::TlsMaterial material;
  auth::Identity self;
  std::shared_ptr<const auth::TokenVerifier> verifier;
};

Result<Credentials> read_credentials(const ServerOptions& options) {
  Credentials credentials;
  TARN_ASSIGN_OR_RETURN(credentials.self, auth::make_identity(auth::Role::server, options.name));
  TARN_ASSIGN_OR_RETURN(const auto secrets, auth::SecretsDir::open(options.secrets_dir));
  TARN_ASSIGN_OR_RETURN(credentials.material.ca_pem, secrets.ca_pem());
  if (auto verifier = secrets.token_verifier()) {
    credentials.verifier = std::make_shared<const auth::TokenVerifier>(std::move(*verifier));
  } else {
    log::info("tokens are not taken here: {}", verifier.error().message());
  }
  credentials.material.insecure_loopback = options.insecure_loopback;
  if (options.insecure_loopback) {
    TARN_ASSIGN_OR_RETURN(const auto signer, secrets.token_signer());
    TARN_ASSIGN_OR_RETURN(
        credentials.material.token,
        signer.sign(credentials.self, system_clock().unix_ms() + kOwnTokenLifeMs));
    return credentials;
  }
  TARN_ASSIGN_OR_RETURN(auto pair, secrets.certificate(credentials.self));
  credentials.material.certificate_pem = std::move(pair.certificate_pem);
  credentials.material.key_pem = std::move(pair.key_pem);
  return credentials;
}

uint32_t ready_slabs(uint64_t dram_bytes) {
  const uint64_t fit = dram_bytes / kReadyShare / memory::kClassSlabBytes;
  return static_cast<uint32_t>(std::clamp<uint64_t>(fit, 1, kReadyMax));
}

uint64_t shelf_bytes(uint64_t dram_bytes) {
  return ready_slabs(dram_bytes) * (memory::kMixedSlabBytes + memory::kClassSlabBytes);
}

Result<std::unique_ptr<memory::SlabPool>> open_pool(const ServerOptions& options) {
  const uint32_t ready = ready_slabs(options.dram_bytes);
  const uint64_t lanes_bytes = options.dram_bytes - shelf_bytes(options.dram_bytes);
  const auto ahead = static_cast<uint32_t>(std::min(options.dram_ready_bytes, lanes_bytes) /
                                           memory::kClassSlabBytes);
  TARN_ASSIGN_OR_RETURN(
      auto pool, memory::SlabPool::open({.shelves = {{memory::kMixedSlabBytes, ready},
                                                     {memory::kClassSlabBytes, ready, ahead}}}));
  TARN_RETURN_IF_ERROR(pool->wait_until_full(kSlabsWithin));
  return pool;
}

// True while this server is primary of a session slot that another one could take.
bool is_needed(const lane::ClusterView& view) {
  const auto& members = view.config.members;
  const bool has_others = std::any_of(members.begin(), members.end(), [](const auto& member) {
    return member.state == ring::MemberState::up;
  });
  const auto& slots = view.config.slots;
  return has_others && std::any_of(slots.begin(), slots.end(),
                                   [&](const auto& slot) { return slot.primary == view.self; });
}

std::string host_part(const std::string& endpoint) {
  return endpoint.substr(0, endpoint.rfind(':'));
}

}  // namespace

// In the order in which they are made; destroyed from the last to the first.
struct Server::Parts {
  ServerOptions options;
  Credentials credentials;
  std::string advertised;
  metrics::Registry registry;
  std::unique_ptr<memory::SlabPool> pool;
  std::unique_ptr<store::EventLog> events;
  store::Descent descent;
  std::unique_ptr<SessionPeers> session_peers;
  std::unique_ptr<session::SlotStore> sessions;
  std::unique_ptr<rpc::Authenticator> authenticator;
  std::unique_ptr<fabric::GrpcBulkService> bulk;
  std::shared_ptr<fabric::UcxContext> ucx;
  std::shared_ptr<fabric::UcxContext> ucx_shm;
  // By lane, until the lanes take them; empty without a folder for them.
  std::vector<std::unique_ptr<fabric::LocalPort>> local_ports;
  std::vector<std::shared_ptr<fabric::LocalMemory>> shown;  // by lane
  FabricTerms terms;
  std::unique_ptr<object::ObjectStore> object;  // null: no object tier
  std::unique_ptr<flash::FlashDrives> drives;   // null: no flash tier
  // Of the config that what lies there was found under.
  Epoch floors_known;
  std::vector<ring::Floor> floors;
  std::unique_ptr<BackupConnector> connector;
  std::vector<std::unique_ptr<lane::Lane>> lanes;
  std::unique_ptr<Connections> connections;
  std::unique_ptr<StorageService> storage;
  std::unique_ptr<SessionService> session_service;
  std::unique_ptr<RpcServer> rpc_server;
  std::unique_ptr<metrics::Endpoint> metrics_endpoint;
  std::unique_ptr<ClusterLink> cluster;

  std::atomic<uint64_t> epoch{0};
  uint64_t remembered_epoch = 0;  // of the config that was kept, until a router tells one
  std::atomic<bool> wants_drain{false};
  std::atomic<bool> is_drained{false};
  std::atomic<bool> closed{false};
  std::atomic<bool> lanes_are_open{false};
  mutable Mutex failure_mutex;
  Status failure TARN_GUARDED_BY(failure_mutex);

  Status open_storage();
  void open_ucx();
  void open_local();
  Status open_local_ports();
  Result<std::shared_ptr<fabric::UcxContext>> open_context(fabric::Kind kind,
                                                           std::string& settings);
  void read_floors();
  bool is_wanted(const flash::Entry& entry) const;
  Status open_object();
  Status open_flash();
  void on_dropped(std::vector<block::BlockHeader> headers, store::Medium medium);
  Status open_lanes();
  Result<std::vector<std::unique_ptr<fabric::Port>>> open_ports(uint16_t lane);
  void follow_slabs(store::SlotAllocatorOptions& memory,
                    const std::shared_ptr<fabric::LocalMemory>& memory_shown);
  Result<std::unique_ptr<lane::Lane>> open_lane(uint16_t lane);
  Status open_services();
  Status join_cluster();
  std::vector<lane::Lane*> all_lanes() const;
  void ask_lanes(const store::MakeWay& wanted);
  void fill_beat(v1::HeartbeatRequest& beat) const;
  LastConfigPlace last_config_place() const;
  void go_on_under_last_config();
  void take_config(ring::ClusterConfig config);
  void set_view(const lane::ClusterViewPtr& view);
  void note_contact(bool reachable);
  void drain();
  void fail(const Status& why);
  Status failed() const;
  void close();
};

Status Server::Parts::open_storage() {
  TARN_ASSIGN_OR_RETURN(credentials, read_credentials(options));
  authenticator = std::make_unique<rpc::Authenticator>(credentials.verifier, system_clock(),
                                                       options.insecure_loopback);
  TARN_ASSIGN_OR_RETURN(pool, open_pool(options));
  events = std::make_unique<store::EventLog>(
      store::EventLog::kCapacityDefault,
      static_cast<uint64_t>(system_clock().unix_ms()) * kChangesPerMs);
  const auto folder = std::filesystem::path(options.data_dir) / "sessions";
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) return internal_error("data_dir: " + folder.string() + ": " + failed.message());
  session_peers = std::make_unique<SessionPeers>(credentials.material, kSessionCallTimeout);
  session::SlotStoreOptions slots;
  slots.folder = folder.string();
  slots.peers = session_peers->peers();
  slots.registry = &registry;
  slots.on_suspect = [this](const Status& why) { fail(why); };
  TARN_ASSIGN_OR_RETURN(sessions, session::SlotStore::open(std::move(slots)));
  return Status::ok();
}

Result<std::shared_ptr<fabric::UcxContext>> Server::Parts::open_context(fabric::Kind kind,
                                                                        std::string& settings) {
  TARN_ASSIGN_OR_RETURN(auto context, fabric::UcxContext::open({kind, options.fabric_device}));
  settings = fabric::settings_fingerprint(kind, options.fabric_device);
  terms.ucx_version = fabric::ucx_version();
  terms.host = fabric::host_fingerprint();
  return context;
}

// Without UCX bulk goes over gRPC.
void Server::Parts::open_ucx() {
  if (options.fabric_device.empty()) return;
  auto net = open_context(fabric::Kind::ucx, terms.ucx_settings);
  if (net) {
    ucx = *net;
  } else {
    log::warn("no ucx over {}: {}", options.fabric_device, net.error().to_string());
  }
  if (!options.trusts_shm) return;
  auto shm = open_context(fabric::Kind::ucx_shm, terms.ucx_shm_settings);
  if (shm) {
    ucx_shm = *shm;
  } else {
    log::warn("no ucx over shared memory: {}", shm.error().to_string());
  }
}

// Without it clients of this host come over the network's way.
void Server::Parts::open_local() {
  for (uint32_t lane = 0; lane < options.lanes; ++lane)
    shown.push_back(std::make_shared<fabric::LocalMemory>());
  if (options.local_dir.empty()) return;
  if (const Status opened = open_local_ports(); !opened.is_ok()) {
    log::warn("no shared memory for clients of this host: {}", opened.message());
    local_ports.clear();
    return;
  }
  terms.local_version = fabric::local_version();
  terms.local_host = fabric::local_host();
}

Status Server::Parts::open_local_ports() {
  TARN_ASSIGN_OR_RETURN(const auto folder,
                        options.local_dir == "auto"
                            ? fabric::LocalFolder::open_default(true)
                            : fabric::LocalFolder::open(options.local_dir, true));
  fabric::sweep(folder);
  fabric::LocalLimits limits;
  limits.port_mappings = std::min(limits.port_mappings, kLocalMappingsMax / options.lanes);
  for (const auto& memory : shown) {
    TARN_ASSIGN_OR_RETURN(
        auto port, fabric::LocalPort::open(
                       {.folder = folder, .is_server = true, .memory = memory, .limits = limits}));
    local_ports.push_back(std::move(port));
  }
  terms.local_folder = folder.fingerprint;
  return Status::ok();
}

Result<std::vector<std::unique_ptr<fabric::Port>>> Server::Parts::open_ports(uint16_t lane) {
  std::vector<std::unique_ptr<fabric::Port>> ports;
  if (!local_ports.empty()) ports.push_back(std::move(local_ports[lane]));
  for (const auto& context : {ucx_shm, ucx}) {
    if (context == nullptr) continue;
    TARN_ASSIGN_OR_RETURN(auto port, fabric::UcxPort::open({.context = context}));
    ports.push_back(std::move(port));
  }
  TARN_ASSIGN_OR_RETURN(auto port, fabric::GrpcPort::open_lane(bulk->streams(), lane));
  ports.push_back(std::move(port));
  return ports;
}

void Server::Parts::follow_slabs(store::SlotAllocatorOptions& memory,
                                 const std::shared_ptr<fabric::LocalMemory>& memory_shown) {
  memory.on_slab = [this, memory_shown](const memory::Slab& slab, const store::DomainId& domain) {
    for (const auto& context : {ucx, ucx_shm}) {
      if (context != nullptr) (void)context->register_memory(slab.memory());
    }
    memory_shown->add({slab.id(), slab.memory(), slab.fd(), domain.bytes});
  };
  memory.on_slab_gone = [this, memory_shown](const memory::Slab& slab) {
    memory_shown->remove(slab.id());
    for (const auto& context : {ucx, ucx_shm}) {
      if (context != nullptr) context->forget_memory(slab.memory());
    }
  };
}

Result<std::unique_ptr<lane::Lane>> Server::Parts::open_lane(uint16_t number) {
  lane::LaneOptions made;
  made.lane = number;
  made.lane_count = static_cast<uint16_t>(options.lanes);
  made.spin = options.spin;
  if (!options.lane_cpus.empty()) made.processor = options.lane_cpus.at(number);
  made.memory.pool = pool.get();
  made.memory.cap_bytes = (options.dram_bytes - shelf_bytes(options.dram_bytes)) / options.lanes;
  made.memory.domain_cap_bytes = options.tenant_dram_bytes / options.lanes;
  follow_slabs(made.memory, shown[number]);
  made.descent = &descent;
  made.on_blocked = [this](const store::MakeWay& wanted) { ask_lanes(wanted); };
  made.drives = drives.get();
  made.object = object.get();
  made.floors_known = floors_known;
  made.events = events.get();
  made.registry = &registry;
  made.wire_up = connector->wire_up_for([this, number] { return lanes[number].get(); });
  TARN_ASSIGN_OR_RETURN(made.ports, open_ports(number));
  return lane::Lane::open(std::move(made));
}

// A lane whose inbox is full is not asked: whoever wants room comes again.
void Server::Parts::ask_lanes(const store::MakeWay& wanted) {
  for (size_t number = 0; number < lanes.size(); ++number) {
    const bool is_meant = (wanted.lanes & store::lane_bit(static_cast<uint32_t>(number))) != 0;
    if (is_meant) (void)lanes[number]->make_way(wanted);
  }
}

void Server::Parts::read_floors() {
  const auto kept = read_last_config(last_config_place());
  if (!kept) return;
  floors = kept->floors;
  floors_known = kept->epoch;
}

bool Server::Parts::is_wanted(const flash::Entry& entry) const {
  const block::BlockKey& key = entry.header.key;
  return std::none_of(floors.begin(), floors.end(), [&](const ring::Floor& floor) {
    return entry.put_in < floor.epoch && key.tenant == floor.tenant &&
           (floor.space.is_zero() || key.space == floor.space);
  });
}

Status Server::Parts::open_object() {
  if (options.object_url.empty()) return Status::ok();
  object::ObjectStoreOptions made;
  TARN_ASSIGN_OR_RETURN(made.s3.url, object::ObjectUrl::parse(options.object_url));
  made.s3.endpoint = options.object_endpoint;
  const bool is_auto = options.object_style == "auto";
  made.s3.is_path_style =
      is_auto ? !options.object_endpoint.empty() : options.object_style == "path";
  made.server = options.name;
  made.bytes_max = options.object_bytes;
  made.put_bytes_per_s = options.object_put_bytes_per_s;
  made.registry = &registry;
  made.is_wanted = [this](const flash::Entry& entry) { return is_wanted(entry); };
  made.on_kept = [this](const std::vector<block::BlockHeader>& headers) {
    for (const block::BlockHeader& header : headers)
      events->append({header, false, store::Medium::object});
  };
  made.on_dropped = [this](std::vector<block::BlockHeader> headers) {
    on_dropped(std::move(headers), store::Medium::object);
  };
  TARN_ASSIGN_OR_RETURN(object, object::ObjectStore::open(std::move(made)));
  return Status::ok();
}

Status Server::Parts::open_flash() {
  if (options.flash_paths.empty()) return Status::ok();
  flash::FlashDrivesOptions made;
  made.paths = options.flash_paths;
  made.bytes = options.flash_bytes;
  made.admission = options.flash_admission;
  made.writes_per_day = options.flash_writes_per_day;
  made.registry = &registry;
  made.is_wanted = [this](const flash::Entry& entry) { return is_wanted(entry); };
  made.on_dropped = [this](std::vector<block::BlockHeader> headers) {
    on_dropped(std::move(headers), store::Medium::flash);
  };
  if (object != nullptr) {
    made.below.takes_blocks = [this] { return object->takes_blocks(); };
    made.below.give = [this](const flash::Entry& entry, std::span<const std::byte> payload) {
      (void)object->put(entry, payload);
    };
  }
  TARN_ASSIGN_OR_RETURN(drives, flash::FlashDrives::open(made));
  log::info("flash: {} blocks are there", drives->index().blocks());
  return Status::ok();
}

// On a drive's thread, or the object store's.
void Server::Parts::on_dropped(std::vector<block::BlockHeader> headers, store::Medium medium) {
  std::vector<std::vector<block::BlockHeader>> by_lane(options.lanes);
  for (block::BlockHeader& header : headers) {
    events->append({header, true, medium});
    const Position position = ring::position_of(header.key.tenant, header.key.space, header.anchor);
    by_lane[ring::lane_of(position, static_cast<uint16_t>(options.lanes))].push_back(header);
  }
  if (!lanes_are_open.load()) return;
  for (size_t lane = 0; lane < by_lane.size(); ++lane)
    if (!by_lane[lane].empty()) (void)lanes[lane]->on_dropped(std::move(by_lane[lane]));
}

Status Server::Parts::open_lanes() {
  bulk = std::make_unique<fabric::GrpcBulkService>(bulk_door(*authenticator, registry));
  open_ucx();
  open_local();
  connector = std::make_unique<BackupConnector>(
      BackupConnectorOptions{credentials.self, credentials.material, terms});
  for (uint32_t number = 0; number < options.lanes; ++number) {
    TARN_ASSIGN_OR_RETURN(auto lane, open_lane(static_cast<uint16_t>(number)));
    lanes.push_back(std::move(lane));
  }
  lanes_are_open.store(true);
  return Status::ok();
}

std::vector<lane::Lane*> Server::Parts::all_lanes() const {
  std::vector<lane::Lane*> all;
  for (const auto& lane : lanes)
    all.push_back(lane.get());
  return all;
}

Status Server::Parts::open_services() {
  connections = std::make_unique<Connections>(
      ConnectionsOptions{all_lanes(), terms, sessions->incarnation()});
  StorageServiceOptions made;
  made.name = options.name;
  made.incarnation = sessions->incarnation();
  made.lanes = all_lanes();
  made.connections = connections.get();
  made.drives = drives.get();
  made.object = object.get();
  made.events = events.get();
  made.registry = &registry;
  made.authenticator = authenticator.get();
  made.epoch = [this] { return Epoch{epoch.load()}; };
  made.drain = [this] { drain(); };
  storage = std::make_unique<StorageService>(std::move(made));
  session_service = std::make_unique<SessionService>(*sessions, *authenticator);
  TARN_ASSIGN_OR_RETURN(rpc_server,
                        RpcServer::open({options.listen,
                                         credentials.material,
                                         {storage.get(), session_service.get(), bulk.get()}}));
  advertised = options.advertise;
  if (advertised.empty()) {
    advertised = host_part(options.listen) + ":" + std::to_string(rpc_server->port());
  }
  if (options.metrics_listen.empty()) return Status::ok();
  TARN_ASSIGN_OR_RETURN(metrics_endpoint,
                        metrics::Endpoint::open(options.metrics_listen, registry));
  return Status::ok();
}

LastConfigPlace Server::Parts::last_config_place() const {
  return {options.data_dir, options.name, sessions->incarnation()};
}

void Server::Parts::go_on_under_last_config() {
  auto kept = read_last_config(last_config_place());
  if (!kept) {
    if (kept.error().code() == Code::not_found) return;
    log::error("the last config is not used, a router has to tell one: {}",
               kept.error().to_string());
    return;
  }
  auto view = lane::make_view(std::move(*kept), options.name, true);
  if (!view) {
    log::error("the last config does not hold: {}", view.error().to_string());
    return;
  }
  remembered_epoch = (*view)->epoch().value;
  log::info("until a router tells another config: epoch {} of {}", remembered_epoch,
            last_config_place().path());
  set_view(*view);
  note_contact(false);
}

Status Server::Parts::join_cluster() {
  go_on_under_last_config();
  ClusterLinkOptions made;
  made.routers = options.routers;
  made.material = credentials.material;
  made.fill_beat = [this](v1::HeartbeatRequest& beat) { fill_beat(beat); };
  made.on_config = [this](ring::ClusterConfig config) { take_config(std::move(config)); };
  made.on_contact = [this](bool reachable) { note_contact(reachable); };
  TARN_ASSIGN_OR_RETURN(auto link, ClusterLink::open(std::move(made)));
  const MutexLock lock(failure_mutex);
  cluster = std::move(link);
  if (!failure.is_ok()) cluster->stop_beating();
  return Status::ok();
}

void Server::Parts::fill_beat(v1::HeartbeatRequest& beat) const {
  beat.set_name(options.name);
  beat.set_control_endpoint(advertised);
  beat.set_incarnation(sessions->incarnation().value);
  beat.set_weight(options.weight);
  beat.set_domain(options.domain.empty() ? options.name : options.domain);
  beat.set_lanes(options.lanes);
  beat.set_epoch(epoch.load());
  beat.set_draining(wants_drain.load());
  v1::ServerLoad* load = beat.mutable_load();
  for (const auto& lane : lanes) {
    const lane::LaneStats stats = lane->stats();
    load->set_dram_bytes(load->dram_bytes() + stats.dram.capacity_bytes);
    load->set_dram_used_bytes(load->dram_used_bytes() + stats.dram.memory_bytes);
    load->set_blocks(load->blocks() + stats.dram.blocks);
    load->set_stored_payload_bytes(load->stored_payload_bytes() + stats.dram.payload_bytes);
    load->set_get_bytes_per_s(load->get_bytes_per_s() + stats.get_bytes_per_s);
    load->set_put_bytes_per_s(load->put_bytes_per_s() + stats.put_bytes_per_s);
    load->set_get_p50_us(std::max(load->get_p50_us(), stats.get_p50_us));
  }
  for (const uint32_t slot : sessions->caught_up_slots())
    beat.add_caught_up_slots(slot);
}

void Server::Parts::take_config(ring::ClusterConfig config) {
  auto view = lane::make_view(std::move(config), options.name);
  if (!view) {
    log::error("a config that does not hold: {}", view.error().to_string());
    return;
  }
  const uint64_t told = (*view)->epoch().value;
  if (const uint64_t kept = std::exchange(remembered_epoch, 0); kept > told) {
    log::error("routers run epoch {}, this server has run {}: was the cluster made anew?", told,
               kept);
    sessions->forget_config();
  }
  set_view(*view);
  if ((*view)->self == ring::kNoServer) return;
  const Status kept = keep_config(last_config_place(), (*view)->config);
  if (!kept.is_ok()) log::error("the config is not kept for a restart: {}", kept.to_string());
}

void Server::Parts::set_view(const lane::ClusterViewPtr& view) {
  for (const auto& lane : lanes)
    (void)lane->set_view(view);
  connections->set_view(view);
  connector->set_view(view);
  session_peers->set_config(view->config);
  sessions->set_config({view, &view->config}, view->self);
  const ring::Member* self = ring::find_member(view->config, view->self);
  is_drained.store(self != nullptr && self->state == ring::MemberState::draining &&
                   !is_needed(*view));
  epoch.store(view->epoch().value);
  log::info("epoch {}, {} servers", view->epoch().value, view->config.members.size());
}

void Server::Parts::note_contact(bool reachable) {
  const Millis grace = reachable ? lane::kTicketGrace : lane::kTicketGraceWithoutRouters;
  connections->set_ticket_grace(grace);
  for (const auto& lane : lanes)
    (void)lane->set_ticket_grace(grace);
}

void Server::Parts::drain() {
  wants_drain.store(true);
  if (rpc_server != nullptr) rpc_server->set_draining();
  if (cluster != nullptr) cluster->beat_now();
}

// Beating on would keep this server in its slots, where nothing could be acknowledged any more.
void Server::Parts::fail(const Status& why) {
  log::error("this server leaves the cluster: {}", why.to_string());
  const MutexLock lock(failure_mutex);
  failure = why;
  if (cluster != nullptr) cluster->stop_beating();
}

Status Server::Parts::failed() const {
  const MutexLock lock(failure_mutex);
  return failure;
}

void Server::Parts::close() {
  if (closed.exchange(true)) return;
  if (cluster != nullptr) cluster->close();
  if (connector != nullptr) connector->close();
  if (storage != nullptr) storage->close();
  if (events != nullptr) events->close();
  for (const auto& lane : lanes)
    lane->close();
  if (drives != nullptr) drives->close();
  if (object != nullptr) {
    if (!object->finish(kObjectFinishMax)) log::warn("object store: what waited for it is lost");
    object->close();
  }
  if (bulk != nullptr) bulk->close_all();
  if (rpc_server != nullptr) rpc_server->close();
}

Result<std::unique_ptr<Server>> Server::open(ServerOptions options) {
  options.lanes = lanes_of(options);
  TARN_RETURN_IF_ERROR(validate(options));
  auto server = std::unique_ptr<Server>(new Server(std::make_unique<Parts>()));
  Parts& parts = *server->x_parts;
  parts.options = std::move(options);
  TARN_RETURN_IF_ERROR(parts.open_storage());
  parts.read_floors();
  TARN_RETURN_IF_ERROR(parts.open_object());
  TARN_RETURN_IF_ERROR(parts.open_flash());
  TARN_RETURN_IF_ERROR(parts.open_lanes());
  TARN_RETURN_IF_ERROR(parts.open_services());
  TARN_RETURN_IF_ERROR(parts.join_cluster());
  log::info("{} serves at {}", parts.options.name, parts.advertised);
  return server;
}

Server::Server(std::unique_ptr<Parts> parts) : x_parts(std::move(parts)) {}

Server::~Server() {
  close();
}

uint16_t Server::port() const {
  return x_parts->rpc_server->port();
}

const std::string& Server::advertised() const {
  return x_parts->advertised;
}

uint64_t Server::epoch() const {
  return x_parts->epoch.load();
}

void Server::drain() {
  x_parts->drain();
}

bool Server::is_drained() const {
  return x_parts->is_drained.load();
}

Status Server::failure() const {
  return x_parts->failed();
}

void Server::close() {
  x_parts->close();
}

}  // namespace tarn::server
