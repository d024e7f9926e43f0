#include "sdk/cpp/src/batch.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/units.h"
#include "common/block/checksum.h"
#include "common/wire/message.h"
#include "sdk/cpp/src/outcome.h"

namespace tarn::sdk {
namespace {

// A Locate that takes longer is given up, and the blocks are placed without it.
constexpr Nanos kLocateMost = std::chrono::seconds(1);

Status in_field(const std::string& field, const Status& why) {
  return {why.code(), field + ": " + why.message()};
}

Result<block::BlockHash> hash_of(const BlockHash& bytes) {
  auto hash = block::BlockHash::from(bytes);
  if (!hash) return in_field("hash", hash.error());
  return hash;
}

// Of less the sum costs less than a sample of it.
constexpr uint64_t kUnsummedBytesMin = 16 << 10;

// What a put and a get check and take over alike.
class ItemReader {
 public:
  ItemReader(Core& core, const SpaceState& space) : x_core(core), x_space(space) {}

  Status read_shard(uint32_t shard, FlightItem& into) const {
    if (shard >= x_space.spec.tensor_parallel) {
      return invalid_argument("shard: the space has " +
                              std::to_string(x_space.spec.tensor_parallel));
    }
    into.shard = Shard{shard};
    return Status::ok();
  }

  // Fills into.bytes, and holds the buffers. `take` gets each slice.
  template <typename Take>
  Status read_slices(const std::vector<Slice>& slices, FlightItem& into, Take take) {
    if (slices.empty()) return invalid_argument("slices: none");
    if (slices.size() > fabric::kOpPartsMax) return invalid_argument("slices: more than 4096");
    for (size_t i = 0; i < slices.size(); ++i) {
      auto memory = x_core.buffers()->check(slices[i]);
      if (!memory) return in_field("slices[" + std::to_string(i) + "]", memory.error());
      into.is_summed = *memory == nullptr || !(*memory)->is_shown();
      if (*memory != nullptr && (x_memory.empty() || x_memory.back() != *memory)) {
        x_memory.push_back(*std::move(memory));
      }
      if (slices[i].size > kBlockBytesMax - into.bytes) {
        return invalid_argument("slices: more than 64 MiB");
      }
      into.bytes += slices[i].size;
      take(slices[i]);
    }
    return Status::ok();
  }

  bool may_leave_sums() const { return x_core.io().servers_sum_puts(); }

  std::vector<std::shared_ptr<const void>> take_memory() { return std::move(x_memory); }

 private:
  Core& x_core;
  const SpaceState& x_space;
  std::vector<std::shared_ptr<const void>> x_memory;
};

Result<FlightItem> read_put(const PutItem& from, const SpaceState& space, ItemReader& reader) {
  FlightItem item;
  TARN_ASSIGN_OR_RETURN(item.hash, hash_of(from.hash));
  if (!from.parent.empty()) {
    if (space.spec.kind == block::SpaceKind::flat) {
      return invalid_argument("parent: the blocks of a flat space have none");
    }
    auto parent = block::BlockHash::from(from.parent);
    if (!parent) return in_field("parent", parent.error());
    item.parent = *parent;
  }
  TARN_RETURN_IF_ERROR(reader.read_shard(from.shard, item));
  TARN_RETURN_IF_ERROR(reader.read_slices(from.slices, item, [&](const Slice& slice) {
    item.from.emplace_back(slice.data, slice.size);
  }));
  // What a server copies out of a buffer itself gets its checksum in that pass.
  item.is_summed |=
      item.from.size() > 1 || item.bytes < kUnsummedBytesMin || !reader.may_leave_sums();
  if (item.is_summed) item.sum();
  return item;
}

Result<FlightItem> read_get(const GetItem& from, const CallOptions& options, ItemReader& reader) {
  FlightItem item;
  TARN_ASSIGN_OR_RETURN(item.hash, hash_of(from.hash));
  TARN_RETURN_IF_ERROR(reader.read_shard(from.shard, item));
  TARN_RETURN_IF_ERROR(reader.read_slices(from.slices, item, [&](const Slice& slice) {
    item.into.emplace_back(slice.data, slice.size);
  }));
  const auto& ends = options.layer_ends;
  if (!ends.empty() && item.bytes != ends.back()) {
    return invalid_argument("slices: " + std::to_string(item.bytes) +
                            " bytes, and the last layer ends at " + std::to_string(ends.back()));
  }
  return item;
}

Result<FlightItem> read_view(const ViewItem& from, ViewKeeper& views, const ItemReader& reader) {
  FlightItem item;
  TARN_ASSIGN_OR_RETURN(item.hash, hash_of(from.hash));
  TARN_RETURN_IF_ERROR(reader.read_shard(from.shard, item));
  if (from.bytes_max < 1 || from.bytes_max > kBlockBytesMax) {
    return invalid_argument("bytes_max: must be 1 byte to 64 MiB");
  }
  item.bytes = from.bytes_max;
  item.pin = ViewPin::open(views);
  if (item.pin == nullptr) {
    return overloaded("hash: the client holds " + std::to_string(kViewsMax) + " views already");
  }
  return item;
}

Status check_layers(size_t items, const std::vector<uint32_t>& ends) {
  if (ends.size() > kLayersMax) return invalid_argument("options.layer_ends: more than 1024");
  if (ends.size() * items > kCallPiecesMax) {
    return invalid_argument("options.layer_ends: more than 262144 for all blocks together");
  }
  for (size_t i = 0; i < ends.size(); ++i) {
    if (ends[i] <= (i == 0 ? 0 : ends[i - 1]))
      return invalid_argument("options.layer_ends: must rise");
  }
  return Status::ok();
}

Status check_call(size_t items, const CallOptions& options) {
  if (items > kCallBlocksMax) return invalid_argument("items: more than 65536");
  TARN_RETURN_IF_ERROR(check_layers(items, options.layer_ends));
  if (options.copies < 1 || options.copies > wire::kCopiesMax) {
    return invalid_argument("options.copies: must be 1 to 16");
  }
  if (options.medium != Medium::memory && options.medium != Medium::flash) {
    return invalid_argument("options.medium: no such one");
  }
  return Status::ok();
}

template <typename Items, typename Read>
std::shared_ptr<Flight> make_flight(Flight::Options options, const Items& items,
                                    const CallOptions& call, Read read) {
  TransferState& state = *options.state;
  std::vector<FlightItem> flying;
  const Status callable = check_call(items.size(), call);
  // A transfer without a file descriptor has ended already.
  const size_t count = state.has_ended() ? 0 : items.size();
  flying.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    Result<FlightItem> item = callable.is_ok() ? read(items[i]) : callable;
    if (item) {
      item->index = static_cast<uint32_t>(i);
      flying.push_back(std::move(item).value());
      continue;
    }
    BlockOutcome& outcome = state.outcome(i);
    outcome.outcome = outcome_of(item.error().code());
    const std::string where = callable.is_ok() ? "items[" + std::to_string(i) + "]." : "";
    outcome.message = where + item.error().message();
  }
  auto flight = std::make_shared<Flight>(std::move(options));
  flight->items() = std::move(flying);
  return flight;
}

Flight::Options options_of(Flight::Kind kind, const std::shared_ptr<SpaceState>& space,
                           const CallOptions& call, std::shared_ptr<TransferState> state) {
  Flight::Options options;
  options.kind = kind;
  options.space = space;
  options.state = std::move(state);
  options.copies = static_cast<uint8_t>(std::clamp<uint32_t>(call.copies, 1, wire::kCopiesMax));
  options.on_flash = call.medium == Medium::flash;
  options.allow_less = call.allow_less;
  return options;
}

std::vector<ChainLink> links_of(const Flight& flight, const std::vector<FlightItem>& items) {
  TARN_DCHECK(flight.kind() == Flight::Kind::put);
  std::vector<ChainLink> links;
  links.reserve(items.size());
  for (const FlightItem& item : items)
    links.push_back({item.hash, item.parent});
  return links;
}

std::vector<block::BlockHash> unknown_of(Flight& flight) {
  if (flight.kind() == Flight::Kind::put) {
    return flight.space().chains.unknown_for(links_of(flight, flight.items()));
  }
  std::vector<block::BlockHash> unknown;
  for (const FlightItem& item : std::span(flight.items()).first(flight.block_count()))
    if (!flight.space().chains.find(item.hash)) unknown.push_back(item.hash);
  return unknown;
}

void place(Flight& flight) {
  std::vector<FlightItem>& items = flight.items();
  ChainCache& chains = flight.space().chains;
  if (flight.kind() == Flight::Kind::put) {
    const auto places = chains.plan(links_of(flight, items));
    TARN_CHECK(places.size() == items.size());
    for (size_t i = 0; i < items.size(); ++i)
      items[i].place = places[i];
    return;
  }
  const size_t blocks = flight.block_count();
  for (size_t i = 0; i < blocks; ++i) {
    const auto known = chains.find(items[i].hash);
    items[i].place = known ? known->place : ring::BlockPlace{items[i].hash, 0};
    items[i].is_placed = known.has_value();
  }
  // Its other pieces lie where the first one does.
  for (size_t i = blocks; i < items.size(); ++i) {
    items[i].place = items[i % blocks].place;
    items[i].is_placed = items[i % blocks].is_placed;
  }
}

// On a background thread. The flight may end meanwhile.
void locate_for(Core& core, Flight& flight, std::span<const block::BlockHash> unknown) {
  const Instant most = system_clock().now() + kLocateMost;
  // Where no router answers, the blocks are placed by what is known.
  (void)core.locate(flight.space(), unknown, std::min(most, flight.state().deadline()));
  if (flight.state().has_ended()) return;
  place(flight);
  flight.on_placed();
  core.io().wake();
}

}  // namespace

std::shared_ptr<Flight> make_put(Core& core, const std::shared_ptr<SpaceState>& space,
                                 std::span<const PutItem> items, const CallOptions& options) {
  auto state = TransferState::open(items.size(), core.deadline_of(options));
  ItemReader reader(core, *space);
  auto made =
      make_flight(options_of(Flight::Kind::put, space, options, std::move(state)), items, options,
                  [&](const PutItem& item) { return read_put(item, *space, reader); });
  made->hold(reader.take_memory());
  return made;
}

std::shared_ptr<Flight> make_get(Core& core, const std::shared_ptr<SpaceState>& space,
                                 std::span<const GetItem> items, const CallOptions& options) {
  const size_t layers = options.layer_ends.size();
  auto state = TransferState::open(items.size(), core.deadline_of(options), layers);
  ItemReader reader(core, *space);
  auto made =
      make_flight(options_of(Flight::Kind::get, space, options, std::move(state)), items, options,
                  [&](const GetItem& item) { return read_get(item, options, reader); });
  made->hold(reader.take_memory());
  if (layers > 0 && !made->items().empty()) made->cut_into_layers(options.layer_ends, items.size());
  return made;
}

std::shared_ptr<Flight> make_views(Core& core, const std::shared_ptr<SpaceState>& space,
                                   std::span<const ViewItem> items, const CallOptions& options) {
  auto state = TransferState::open(items.size(), core.deadline_of(options));
  const ItemReader reader(core, *space);
  auto made =
      make_flight(options_of(Flight::Kind::get, space, options, std::move(state)), items, options,
                  [&](const ViewItem& item) { return read_view(item, core.io().views(), reader); });
  std::vector<std::shared_ptr<ViewPin>> pins(items.size());
  for (const FlightItem& item : made->items())
    pins[item.index] = item.pin;
  made->state().pins() = std::move(pins);
  return made;
}

void place_and_launch(Core& core, std::shared_ptr<Flight> flight) {
  if (flight->state().has_ended()) return;
  if (core.is_forked()) return flight->refuse(unsupported(kForkedText));
  if (flight->items().empty()) return flight->state().end();
  auto unknown = unknown_of(*flight);
  if (unknown.empty()) {
    place(*flight);
    return core.launch(std::move(flight));
  }
  flight->await_places();
  const Status begun = core.background().submit(
      [&core, waiting = std::weak_ptr<Flight>(flight), unknown = std::move(unknown)] {
        if (const auto found = waiting.lock()) locate_for(core, *found, unknown);
      });
  if (!begun.is_ok()) return flight->refuse(begun);
  // At once, so that its deadline and a cancel count while it waits for its places.
  core.launch(std::move(flight));
}

}  // namespace tarn::sdk
