#pragma once

#include <string>

#include "tarn/tarn.h"

namespace tarn::load {

// What the worker process of a failover run writes: once it beats, and when it has resumed.
inline constexpr std::string_view kWorkerReady = "ready";
inline constexpr std::string_view kWorkerHasBlock = "has block";

// The bench_space() of failover runs.
inline constexpr const char* kFailoverSpace = "failover";

// A worker as an inference server would be one: registers under `name`, says so, and for each line
// of stdin resumes the session of that id: resolves it and gets its first block. Until stdin ends.
Expected<Done> be_worker(const ClientOptions& options, const std::string& name);

}  // namespace tarn::load
