#pragma once

#include "proto/tarn/v1/router.pb.h"
#include "router/pool/worker_pool.h"

namespace tarn::router {

// A worker as answers show it.
inline void show_worker(const pool::WorkerView& view, v1::WorkerState* state) {
  v1::WorkerBeat* const beat = state->mutable_beat();
  beat->set_name(view.beat.name);
  beat->set_endpoint(view.beat.endpoint);
  beat->set_space(std::string(reinterpret_cast<const char*>(view.beat.space.bytes.data()),
                              view.beat.space.bytes.size()));
  beat->set_capacity(view.beat.capacity);
  beat->set_running(view.beat.running);
  beat->set_queued(view.beat.queued);
  beat->set_prefill_tokens_per_s(view.beat.prefill_tokens_per_s);
  beat->set_draining(view.beat.draining || view.is_drained);
  beat->set_host(view.beat.host);
  state->set_silent_ms(static_cast<uint32_t>(view.silent.count()));
  state->set_alive(view.is_alive);
}

}  // namespace tarn::router
