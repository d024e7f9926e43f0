#include "common/base/log.h"
#include "common/fabric/ucx_settings.h"
#include "common/rpc/credentials.h"
#include "sdk/cpp/src/handles.h"
#include "sdk/cpp/src/outcome.h"
#include "sdk/cpp/src/worker.h"

namespace tarn {
namespace {

block::SpaceSpec spec_of(const SpaceSpec& spec) {
  block::SpaceSpec out;
  out.model = spec.model;
  out.revision = spec.revision;
  out.dtype = spec.dtype;
  out.layout = spec.layout;
  out.block_tokens = spec.block_tokens;
  out.tensor_parallel = spec.tensor_parallel;
  out.hash_scheme = spec.hash_scheme;
  out.hash_seed = spec.hash_seed;
  out.kind = spec.flat ? block::SpaceKind::flat : block::SpaceKind::chained;
  out.extent_blocks = spec.extent_blocks;
  return out;
}

}  // namespace

Client::Client(std::shared_ptr<Impl> impl) : x_impl(std::move(impl)) {}

Expected<Client> Client::connect(ClientOptions options) {
  auto core = sdk::Core::open(std::move(options));
  if (!core) return sdk::error_of(core.error());
  return Client(std::make_shared<Impl>(Impl{*std::move(core)}));
}

Expected<Space> Client::open_space(const SpaceSpec& spec, CallOptions options) {
  sdk::Core& core = *x_impl->core;
  const block::SpaceSpec wanted = spec_of(spec);
  if (Status valid = block::validate(wanted); !valid.is_ok()) return sdk::error_of(valid);
  const auto id = core.router().open_space(wanted, core.deadline_of(options));
  if (!id) return sdk::error_of(id.error());
  auto impl = std::make_shared<Space::Impl>();
  impl->core = x_impl->core;
  impl->state = core.space(wanted, *id);
  impl->spec = spec;
  return Space(std::move(impl));
}

Expected<Buffer> Client::allocate(size_t size) {
  sdk::Core& core = *x_impl->core;
  if (core.is_forked()) return Error{Outcome::unsupported, sdk::kForkedText};
  auto memory = sdk::Memory::allocate(size, core.contexts(), core.buffers()->shown());
  if (!memory) return sdk::error_of(memory.error());
  return Buffer(std::make_shared<Buffer::Impl>(x_impl->core->buffers(), *std::move(memory)));
}

Expected<Buffer> Client::register_memory(void* data, size_t size) {
  sdk::Core& core = *x_impl->core;
  if (core.is_forked()) return Error{Outcome::unsupported, sdk::kForkedText};
  auto memory = sdk::Memory::adopt(data, size, core.contexts());
  if (!memory) return sdk::error_of(memory.error());
  return Buffer(std::make_shared<Buffer::Impl>(x_impl->core->buffers(), *std::move(memory)));
}

Expected<Worker> Client::register_worker(const Space& space, const WorkerSpec& spec) {
  auto beats = sdk::WorkerBeats::start(x_impl->core, space.x_impl->state->id, spec);
  if (!beats) return sdk::error_of(beats.error());
  return Worker(std::make_shared<Worker::Impl>(Worker::Impl{*std::move(beats)}));
}

Expected<RouteChoice> Client::route(const Space& space, const RouteQuery& query,
                                    CallOptions options) {
  sdk::Core& core = *x_impl->core;
  return sdk::expected_of(
      core.router().route(space.x_impl->state->id, query, core.deadline_of(options)));
}

std::vector<ConnectionInfo> Client::connections() const {
  return x_impl->core->io().connections();
}

ClientCounters Client::counters() const {
  const sdk::Hedges::Counters& hedges = x_impl->core->io().hedge_counters();
  return {hedges.asked_twice.load(), hedges.won.load()};
}

std::string version() {
  return "0.1.0 (UCX " + fabric::ucx_version() + ")";
}

}  // namespace tarn
