#include <algorithm>

#include "common/base/units.h"
#include "sdk/cpp/src/batch.h"
#include "sdk/cpp/src/exists_batch.h"
#include "sdk/cpp/src/handles.h"
#include "sdk/cpp/src/outcome.h"
#include "sdk/cpp/src/session.h"

namespace tarn {
namespace {

using sdk::Flight;

// What a wait adds to a transfer's deadline before it gives up on the fabric.
constexpr Nanos kWaitGrace = std::chrono::milliseconds(1500);

Error bad_hash(size_t index, const Status& why) {
  return {Outcome::invalid_argument, "hashes[" + std::to_string(index) + "]: " + why.message()};
}

Expected<std::vector<block::BlockHash>> hashes_of(std::span<const BlockHash> hashes) {
  if (hashes.size() > kMatchHashesMax) {
    return Error{Outcome::invalid_argument, "hashes: more than 8192"};
  }
  std::vector<block::BlockHash> out;
  out.reserve(hashes.size());
  for (size_t i = 0; i < hashes.size(); ++i) {
    const auto hash = block::BlockHash::from(hashes[i]);
    if (!hash) return bad_hash(i, hash.error());
    out.push_back(*hash);
  }
  return out;
}

Expected<Done> check(std::span<const BlockHash> hashes) {
  if (hashes.size() > kMatchHashesMax) {
    return Error{Outcome::invalid_argument, "hashes: more than 8192"};
  }
  for (size_t i = 0; i < hashes.size(); ++i) {
    if (!hashes[i].empty() && hashes[i].size() <= kHashBytesMax) continue;
    return bad_hash(i, block::BlockHash::from(hashes[i]).error());
  }
  return Done{};
}

// Some of the hashes of an exists: servers look for them while the next ones are prepared.
struct ExistsPart {
  ExistsPart(sdk::SpaceState& space, const sdk::View& view, size_t count)
      : hashes(count), batch(space, view) {}

  Expected<Done> begin(const std::shared_ptr<sdk::SpaceState>& space, sdk::Core& core,
                       Instant deadline) {
    auto items = batch.take_items();
    if (items.empty()) return Done{};
    auto opened = sdk::TransferState::open(items.size(), deadline);
    if (opened->has_ended()) return Error{Outcome::overloaded, "no file descriptor is left"};
    keys = std::make_shared<sdk::KeyBatch>(batch.take_keys());
    Flight::Options options;
    options.kind = Flight::Kind::exists;
    options.space = space;
    options.state = state = std::move(opened);
    options.asked = keys;
    auto flight = std::make_shared<Flight>(std::move(options));
    flight->items() = std::move(items);
    core.launch(std::move(flight));
    return Done{};
  }

  Expected<std::vector<bool>> answer(sdk::Core& core, Instant deadline) const {
    if (state == nullptr) return batch.judge({}, {});
    if (!core.io().wait_for({*state}, deadline + kWaitGrace)) {
      return Error{Outcome::deadline_exceeded, "the servers have not answered"};
    }
    return batch.judge(keys->answers, state->outcomes());
  }

  size_t hashes;
  sdk::ExistsBatch batch;
  std::shared_ptr<sdk::KeyBatch> keys;
  std::shared_ptr<sdk::TransferState> state;  // null: there is nobody to ask
  std::shared_ptr<const void> transfer;       // ends with it
};

// About one message for each server, so that the first leaves soon; each further part is twice as
// large as the one before, so that lanes get few messages.
size_t first_part_of(const sdk::View& view, const SpaceSpec& spec) {
  const size_t keys = wire::kItemsMax * std::max<size_t>(view.config.members.size(), 1);
  return std::max<size_t>(keys / std::max<size_t>(spec.tensor_parallel, 1), 1);
}

}  // namespace

Transfer::Impl::~Impl() {
  // In a forked child nobody else has its memory, and nobody will end it.
  if (core->is_forked()) return;
  if (!state->has_ended()) {
    state->cancel();
    core->io().wake();
    (void)core->io().wait_for({*state}, kNever);
  }
  // The loop may keep the state for a while yet, and must not keep views that nobody took.
  state->pins().clear();
}

Transfer::Transfer(std::shared_ptr<Impl> impl) : x_impl(std::move(impl)) {}

int Transfer::fd() const {
  return x_impl == nullptr ? -1 : x_impl->state->fd();
}

bool Transfer::poll() const {
  return x_impl == nullptr || x_impl->state->has_ended();
}

Expected<Done> Transfer::wait(uint32_t timeout_ms) {
  if (poll()) return Done{};
  const Instant until = timeout_ms == 0
                            ? x_impl->state->deadline() + kWaitGrace
                            : system_clock().now() + std::chrono::milliseconds(timeout_ms);
  // A child that was forked has nobody who would end it.
  const bool is_forked = x_impl->core->is_forked();
  const bool has_ended =
      is_forked ? x_impl->state->wait(until) : x_impl->core->io().wait_for({*x_impl->state}, until);
  if (has_ended) return Done{};
  return Error{Outcome::deadline_exceeded, "the transfer has not ended yet"};
}

void Transfer::cancel() {
  if (poll()) return;
  x_impl->state->cancel();
  x_impl->core->io().wake();
}

uint32_t Transfer::layers_ready() const {
  return x_impl == nullptr ? 0 : static_cast<uint32_t>(x_impl->state->layers_ready());
}

int Transfer::layer_fd() const {
  return x_impl == nullptr ? -1 : x_impl->state->layer_fd();
}

Expected<Done> Transfer::wait_layer(uint32_t layer, uint32_t timeout_ms) {
  if (x_impl == nullptr) return Error{Outcome::invalid_argument, "layer: of no transfer"};
  const Instant until = timeout_ms == 0
                            ? x_impl->state->deadline() + kWaitGrace
                            : system_clock().now() + std::chrono::milliseconds(timeout_ms);
  if (!x_impl->core->is_forked()) {
    (void)x_impl->core->io().wait_for({*x_impl->state, layer}, until);
  }
  const Status waited = x_impl->state->wait_layer(layer, until);
  if (!waited.is_ok()) return sdk::error_of(waited);
  if (layers_ready() > layer) return Done{};
  const auto all = outcomes();
  const auto failed = std::find_if(
      all.begin(), all.end(), [](const BlockOutcome& each) { return each.outcome != Outcome::ok; });
  if (failed == all.end()) return Done{};
  return Error{failed->outcome, "items[" + std::to_string(failed - all.begin()) +
                                    "]: " + std::string(outcome_name(failed->outcome)) +
                                    (failed->message.empty() ? "" : ": ") + failed->message};
}

std::span<const BlockOutcome> Transfer::outcomes() const {
  if (x_impl == nullptr) return {};
  return x_impl->state->outcomes();
}

bool Transfer::all_ok() const {
  if (!poll()) return false;
  const auto all = outcomes();
  return std::all_of(all.begin(), all.end(), [](const BlockOutcome& each) {
    return each.outcome == Outcome::ok || each.outcome == Outcome::exists;
  });
}

View Transfer::take_view(size_t item) {
  if (x_impl == nullptr || !x_impl->state->has_ended()) return View(nullptr);
  auto& pins = x_impl->state->pins();
  const bool has_bytes = item < pins.size() && pins[item] != nullptr &&
                         x_impl->state->outcomes()[item].outcome == Outcome::ok;
  if (!has_bytes) return View(nullptr);
  return View(std::make_shared<View::Impl>(View::Impl{x_impl->core, std::move(pins[item])}));
}

Space::Space(std::shared_ptr<Impl> impl) : x_impl(std::move(impl)) {}

const SpaceSpec& Space::spec() const {
  return x_impl->spec;
}

std::string Space::id() const {
  return to_hex(x_impl->state->id);
}

Transfer Space::put_kv(std::span<const PutItem> items, CallOptions options) {
  auto flight = sdk::make_put(*x_impl->core, x_impl->state, items, options);
  auto state = flight->shared_state();
  sdk::place_and_launch(*x_impl->core, std::move(flight));
  return Transfer(std::make_shared<Transfer::Impl>(x_impl->core, std::move(state)));
}

Transfer Space::get_kv(std::span<const GetItem> items, CallOptions options) {
  auto flight = sdk::make_get(*x_impl->core, x_impl->state, items, options);
  auto state = flight->shared_state();
  sdk::place_and_launch(*x_impl->core, std::move(flight));
  return Transfer(std::make_shared<Transfer::Impl>(x_impl->core, std::move(state)));
}

Transfer Space::get_views(std::span<const ViewItem> items, CallOptions options) {
  auto flight = sdk::make_views(*x_impl->core, x_impl->state, items, options);
  auto state = flight->shared_state();
  sdk::place_and_launch(*x_impl->core, std::move(flight));
  return Transfer(std::make_shared<Transfer::Impl>(x_impl->core, std::move(state)));
}

Expected<std::vector<bool>> Space::exists(std::span<const BlockHash> hashes, CallOptions options) {
  sdk::Core& core = *x_impl->core;
  if (core.is_forked()) return Error{Outcome::unsupported, sdk::kForkedText};
  if (const auto right = check(hashes); !right) return right.error();
  const auto view = core.cluster().current();
  const Instant deadline = core.deadline_of(options);
  std::vector<ExistsPart> parts;
  size_t count = first_part_of(*view, x_impl->spec);
  for (size_t first = 0; first < hashes.size(); first += parts.back().hashes, count *= 2) {
    const auto part = hashes.subspan(first, std::min(count, hashes.size() - first));
    const auto parsed = hashes_of(part);
    if (!parsed) return parsed.error();
    ExistsPart& asked = parts.emplace_back(*x_impl->state, *view, part.size());
    asked.batch.add(*parsed);
    if (const auto begun = asked.begin(x_impl->state, core, deadline); !begun) return begun.error();
    if (asked.state != nullptr) {
      asked.transfer = std::make_shared<Transfer::Impl>(x_impl->core, asked.state);
    }
  }
  std::vector<bool> found;
  found.reserve(hashes.size());
  for (const ExistsPart& part : parts) {
    const auto answered = part.answer(core, deadline);
    if (!answered) return answered.error();
    found.insert(found.end(), answered.value().begin(), answered.value().end());
  }
  return found;
}

Expected<MatchResult> Space::match(std::span<const BlockHash> hashes, CallOptions options) {
  sdk::Core& core = *x_impl->core;
  const auto parsed = hashes_of(hashes);
  if (!parsed) return parsed.error();
  const auto matched = core.router().match(
      x_impl->state->id, *parsed, x_impl->state->spec.tensor_parallel, core.deadline_of(options));
  if (!matched) return sdk::error_of(matched.error());
  const auto view = core.cluster().current();
  MatchResult result;
  result.matched = matched->count;
  result.partial = matched->is_partial;
  for (const sdk::MatchedRun& run : matched->runs) {
    const std::span<const block::BlockHash> all(*parsed);
    if (!run.anchor.is_empty()) {
      x_impl->state->chains.learn({run.anchor, run.first_index, all.subspan(run.first, run.count)});
    }
    const ServerId best = run.holders.empty() ? ServerId{0} : run.holders.front();
    const ring::Member* const member = ring::find_member(view->config, best);
    result.runs.push_back(
        {run.first, run.count, member == nullptr ? "" : member->name, run.tier, run.estimated_us});
  }
  return result;
}

Expected<Session> Space::create_session(std::string id, int64_t ttl_ms, CallOptions options) {
  sdk::Core& core = *x_impl->core;
  // Drawn here and not by the router: a retry must name the same session.
  if (id.empty()) id = sdk::draw_session_id();
  if (ttl_ms < 0) return Error{Outcome::invalid_argument, "ttl_ms: is negative"};
  const auto created =
      core.sessions().create({x_impl->state->id, id}, ttl_ms, core.deadline_of(options));
  if (!created) return sdk::error_of(created.error());
  return open_session(*created);
}

Session Space::open_session(std::string id) {
  return Session(std::make_shared<Session::Impl>(Session::Impl{x_impl, std::move(id)}));
}

Expected<std::vector<Manifest>> Space::list_sessions(std::string_view prefix, CallOptions options) {
  sdk::Core& core = *x_impl->core;
  return sdk::expected_of(
      core.sessions().list(x_impl->state->id, prefix, core.deadline_of(options)));
}

}  // namespace tarn
