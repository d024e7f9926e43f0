#include "common/fabric/ucx_context.h"

#include <ucp/api/ucp.h>
#include <ucs/debug/log_def.h>

#include <array>
#include <cstdio>
#include <mutex>
#include <string_view>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/fabric/ucx_settings.h"

namespace tarn::fabric {
namespace {

// A process that uses TCP alone has no use for what shared memory needs, and UCX says so.
bool is_about_our_environment(std::string_view line) {
  return line.starts_with("unused env variable");
}

// UCX writes to stdout by itself, where our programs print their answers. Its errors are mostly
// peers that went away: a warning for us. The parameters are those that ucs_log_push_handler wants.
ucs_log_func_rc_t to_our_log(const char*, unsigned, const char*, ucs_log_level_t level,
                             const ucs_log_component_config_t*, const char* format, va_list args) {
  std::array<char, 512> line{};
  std::vsnprintf(line.data(), line.size(), format, args);
  if (level == UCS_LOG_LEVEL_FATAL) {
    log::error("ucx: {}", line.data());
  } else if (level <= UCS_LOG_LEVEL_WARN && !is_about_our_environment(line.data())) {
    log::warn("ucx: {}", line.data());
  } else {
    log::debug("ucx: {}", line.data());
  }
  return UCS_LOG_FUNC_RC_STOP;
}

void take_over_log() {
  static std::once_flag once;
  std::call_once(once, [] { ucs_log_push_handler(to_our_log); });
}

Result<ucp_config_t*> read_config(const UcxContext::Options& options) {
  ucp_config_t* config = nullptr;
  ucs_status_t status = ucp_config_read(nullptr, nullptr, &config);
  if (status != UCS_OK) {
    return unavailable(std::string("UCX reads no configuration: ") + ucs_status_string(status));
  }
  for (const auto& [key, value] : ucx_config(options.kind, options.device)) {
    status = ucp_config_modify(config, key.c_str(), value.c_str());
    if (status == UCS_OK) continue;
    ucp_config_release(config);
    return unavailable("UCX refuses " + key + "=" + value + ": " + ucs_status_string(status));
  }
  return config;
}

Result<ucp_mem_h> map_memory(ucp_context_h context, MutableBytes memory) {
  if (memory.empty()) return invalid_argument("no memory to register");
  ucp_mem_map_params_t params{};
  params.field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH;
  params.address = memory.data();
  params.length = memory.size();
  ucp_mem_h handle = nullptr;
  const ucs_status_t status = ucp_mem_map(context, &params, &handle);
  if (status == UCS_OK) return handle;
  return unavailable(std::string("UCX registers no memory: ") + ucs_status_string(status));
}

void unmap_memory(ucp_context_h context, ucp_mem_h handle) {
  if (ucp_mem_unmap(context, handle) != UCS_OK) log::warn("UCX keeps memory registered");
}

UcxIdentity identity_of(const UcxContext::Options& options) {
  return {std::string(kind_name(options.kind)), ucx_version(),
          settings_fingerprint(options.kind, options.device)};
}

}  // namespace

Result<std::shared_ptr<UcxContext>> UcxContext::open(Options options) {
  if (options.kind != Kind::ucx && options.kind != Kind::ucx_shm) {
    return invalid_argument("not a kind of UCX: " + std::string(kind_name(options.kind)));
  }
  if (options.kind == Kind::ucx && options.device.empty()) {
    return invalid_argument("UCX needs a device to bind to, as lo or eth0 or mlx5_0:1");
  }
  prepare_ucx_environment();
  take_over_log();
  TARN_ASSIGN_OR_RETURN(ucp_config_t* const config, read_config(options));
  ucp_params_t params{};
  params.field_mask =
      UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_MT_WORKERS_SHARED | UCP_PARAM_FIELD_NAME;
  // No remote memory access: whoever has it reads and writes all memory of a process.
  params.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
  params.mt_workers_shared = 1;
  params.name = "tarn";
  ucp_context_h handle = nullptr;
  const ucs_status_t status = ucp_init(&params, config, &handle);
  ucp_config_release(config);
  if (status != UCS_OK) {
    return unavailable("UCX cannot use " + settings_fingerprint(options.kind, options.device) +
                       " over '" + options.device + "': " + ucs_status_string(status));
  }
  return std::shared_ptr<UcxContext>(new UcxContext(std::move(options), handle));
}

UcxContext::UcxContext(Options options, ucp_context* handle)
    : x_options(std::move(options)), x_identity(identity_of(x_options)), x_handle(handle) {
  TARN_CHECK(x_handle != nullptr);
}

UcxContext::~UcxContext() {
  for (const auto& [address, memory] : x_registered)
    unmap_memory(x_handle, memory);
  ucp_cleanup(x_handle);
}

std::string UcxContext::transport() const {
  if (kind() == Kind::ucx_shm) return "shared memory by UCX";
  const bool rdma = is_rdma_device(x_options.device);
  return std::string(rdma ? "RDMA" : "TCP") + " over " + x_options.device;
}

bool UcxContext::wires_up_late() const {
  return kind() == Kind::ucx && !is_rdma_device(x_options.device);
}

Status UcxContext::register_memory(MutableBytes memory) {
  TARN_ASSIGN_OR_RETURN(const ucp_mem_h handle, map_memory(x_handle, memory));
  forget_memory(memory);
  const MutexLock lock(x_mutex);
  x_registered.emplace(memory.data(), handle);
  return Status::ok();
}

Result<std::shared_ptr<const void>> UcxContext::hold_memory(std::shared_ptr<UcxContext> context,
                                                            MutableBytes memory) {
  TARN_CHECK(context != nullptr);
  TARN_ASSIGN_OR_RETURN(const ucp_mem_h handle, map_memory(context->x_handle, memory));
  const auto unmap = [context = std::move(context), handle](const void*) {
    unmap_memory(context->x_handle, handle);
  };
  return std::shared_ptr<const void>(static_cast<const void*>(handle), unmap);
}

void UcxContext::forget_memory(MutableBytes memory) {
  const MutexLock lock(x_mutex);
  const auto found = x_registered.find(memory.data());
  if (found == x_registered.end()) return;
  unmap_memory(x_handle, found->second);
  x_registered.erase(found);
}

}  // namespace tarn::fabric
