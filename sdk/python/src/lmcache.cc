#include <memory>
#include <unordered_map>

#include "sdk/python/src/bind.h"
#include "sdk/python/src/lmcache_connector.h"

namespace tarn::python {
namespace {

using namespace nb::literals;

// A LmcacheConnector and the Python memory of its batches, which is held until they are drained.
// Needs the GIL, which its threads never take.
class PyLmcacheConnector {
 public:
  explicit PyLmcacheConnector(LmcacheSettings settings)
      : x_connector(std::make_unique<LmcacheConnector>(std::move(settings))) {}
  ~PyLmcacheConnector() { close(); }

  int event_fd() const { return x_connector->event_fd(); }
  uint64_t set(const std::vector<std::string>& keys, nb::handle buffers) {
    return submit(LmcacheJob::Kind::set, keys, buffers);
  }
  uint64_t get(const std::vector<std::string>& keys, nb::handle buffers) {
    return submit(LmcacheJob::Kind::get, keys, buffers);
  }
  uint64_t exists(const std::vector<std::string>& keys) {
    return submit(LmcacheJob::Kind::exists, keys, nb::list());
  }
  nb::list drain() {
    warn(x_connector->take_notice());
    nb::list completions;
    for (const LmcacheCompletion& one : x_connector->drain()) {
      x_held.erase(one.id);
      nb::list done;
      for (const bool value : one.done)
        done.append(value);
      completions.append(nb::make_tuple(one.id, one.ok, one.error, done));
    }
    return completions;
  }
  void close() {
    without_gil([this] { x_connector->close(); });
    x_held.clear();
  }

 private:
  uint64_t submit(LmcacheJob::Kind kind, const std::vector<std::string>& keys, nb::handle buffers) {
    LmcacheJob job;
    job.kind = kind;
    HeldMemory memory;
    for (const std::string& key : keys)
      job.names.push_back(lmcache_block_name(key));
    for (const nb::handle buffer : buffers)
      job.slices.push_back(memory.hold(buffer, kind == LmcacheJob::Kind::get));
    if (kind != LmcacheJob::Kind::exists && job.slices.size() != keys.size()) {
      throw nb::value_error("as many buffers as keys are needed");
    }
    const uint64_t id = x_connector->submit(std::move(job));
    x_held.try_emplace(id, std::move(memory));
    return id;
  }
  static void warn(const std::string& notice) {
    if (notice.empty()) return;
    nb::module_::import_("logging").attr("getLogger")("tarn.adapters").attr("warning")(notice);
  }

  std::unique_ptr<LmcacheConnector> x_connector;
  std::unordered_map<uint64_t, HeldMemory> x_held;
};

}  // namespace

void bind_lmcache(nb::module_& module) {
  nb::class_<PyLmcacheConnector>(module, "LmcacheConnector",
                                 "What LMCache asks of a native plugin; see "
                                 "tarn.adapters.lmcache. May be used by many threads.")
      .def(
          "__init__",
          [](PyLmcacheConnector* self, const ClientOptions& client, const SpaceSpec& space,
             const CallOptions& call) {
            new (self) PyLmcacheConnector(LmcacheSettings{client, space, call});
          },
          "client"_a, "space"_a, "call"_a)
      .def("event_fd", &PyLmcacheConnector::event_fd,
           "Returns a descriptor that is readable when drain_completions() has something.")
      .def("submit_batch_set", &PyLmcacheConnector::set, "keys"_a, "buffers"_a,
           "Starts keeping one buffer for each key (str); returns the batch's id.\n"
           "Raises TypeError, BufferError, ValueError for memory that cannot be used.")
      .def("submit_batch_get", &PyLmcacheConnector::get, "keys"_a, "buffers"_a,
           "Starts filling one buffer for each key, of the size that was kept; returns the id.\n"
           "Raises TypeError, BufferError, ValueError for memory that cannot be used.")
      .def("submit_batch_exists", &PyLmcacheConnector::exists, "keys"_a,
           "Starts asking which keys are there; returns the batch's id.")
      .def("drain_completions", &PyLmcacheConnector::drain,
           "Returns a list of (id, ok, error, list of bool) of what has ended since the last "
           "call.")
      .def("close", &PyLmcacheConnector::close,
           "Ends what waits, awaits what is under way. May be repeated.");
}

}  // namespace tarn::python
