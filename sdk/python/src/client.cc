#include "sdk/python/src/bind.h"

namespace tarn::python {
namespace {

using namespace nb::literals;

void bind_session(nb::module_& module) {
  nb::class_<Session>(module, "Session",
                      "A named, versioned chain of blocks that any worker can resume by its id. "
                      "May be used by many threads. Through another space than its own, every call "
                      "raises Error: invalid_argument.")
      .def_prop_ro("id", [](const Session& self) { return self.id(); })
      .def(
          "append",
          [](Session& self, uint64_t expected_version, const Append& what,
             const CallOptions& options) {
            return value_or_raise(
                without_gil([&] { return self.append(expected_version, what, options); }));
          },
          "expected_version"_a, "what"_a, "options"_a = CallOptions(),
          "Appends blocks that were put, by compare-and-swap on the version; never applied twice.\n"
          "Returns the new version (int). Raises Error: conflict, miss, invalid_argument, "
          "unavailable, deadline_exceeded.")
      .def(
          "resolve",
          [](const Session& self, const CallOptions& options) {
            return value_or_raise(without_gil([&] { return self.resolve(options); }));
          },
          "options"_a = CallOptions(),
          "Returns the Manifest as it stands. Raises Error: miss, invalid_argument (of another "
          "space), unavailable, deadline_exceeded.")
      .def(
          "fork",
          [](const Session& self, const std::string& new_id, const CallOptions& options) {
            return value_or_raise(without_gil([&] { return self.fork(new_id, options); }));
          },
          "new_id"_a = "", "options"_a = CallOptions(),
          "Returns a new Session with the same blocks; copies no KV. An empty id draws one.\n"
          "Raises Error: exists, miss, unavailable, deadline_exceeded.")
      .def(
          "truncate",
          [](Session& self, uint64_t expected_version, const Truncate& to,
             const CallOptions& options) {
            return value_or_raise(
                without_gil([&] { return self.truncate(expected_version, to, options); }));
          },
          "expected_version"_a, "to"_a, "options"_a = CallOptions(),
          "Keeps the first blocks alone. Returns the new version (int).\n"
          "Raises Error: conflict, miss, invalid_argument, unavailable, deadline_exceeded.")
      .def(
          "pin",
          [](Session& self, bool pinned, const CallOptions& options) {
            value_or_raise(without_gil([&] { return self.pin(pinned, options); }));
          },
          "pinned"_a, "options"_a = CallOptions(),
          "Keeps the session past its TTL, or no longer. Its blocks may still be evicted.\n"
          "Raises Error: miss, unavailable, deadline_exceeded.")
      .def(
          "set_ttl",
          [](Session& self, int64_t ttl_ms, const CallOptions& options) {
            value_or_raise(without_gil([&] { return self.set_ttl(ttl_ms, options); }));
          },
          "ttl_ms"_a, "options"_a = CallOptions(),
          "Ends the session ttl_ms milliseconds from now; 0: never.\n"
          "Raises Error: miss, invalid_argument, unavailable, deadline_exceeded.")
      .def(
          "remove",
          [](Session& self, const CallOptions& options) {
            value_or_raise(without_gil([&] { return self.remove(options); }));
          },
          "options"_a = CallOptions(),
          "Forgets the session; its blocks stay. Raises Error: unavailable, deadline_exceeded.");
}

void bind_space(nb::module_& module) {
  nb::class_<Space>(module, "Space",
                    "One KV geometry of the caller's tenant. May be used by many threads.")
      .def_prop_ro("spec", [](const Space& self) { return self.spec(); })
      .def_prop_ro("id", [](const Space& self) { return self.id(); })
      .def("put_kv", &start_put, "items"_a, "options"_a = CallOptions(),
           "Starts keeping a list of PutItem; returns a Transfer that holds the memory until it "
           "has ended.\n"
           "Outcome of each: ok, exists, kept_less; unavailable, overloaded, deadline_exceeded, "
           "cancelled, "
           "permission_denied, invalid_argument.\nRaises TypeError, BufferError for memory that "
           "cannot be used.")
      .def("get_kv", &start_get, "items"_a, "options"_a = CallOptions(),
           "Starts fetching a list of GetItem, in this order; returns a Transfer.\n"
           "Outcome of each: ok, miss, corrupt; unavailable, overloaded, deadline_exceeded, "
           "cancelled, "
           "invalid_argument: then the memory holds anything.\nRaises TypeError, BufferError for "
           "memory that "
           "is not contiguous or not writable.")
      .def("get_views", &start_views, "items"_a, "options"_a = CallOptions(),
           "Starts a get of a list of ViewItem without a copy where there is a way to do so "
           "(View.is_mapped); returns a Transfer,\nwhose take_view() gives the views. Outcome of "
           "each as of get_kv; overloaded where the client holds 4,096 views.")
      .def(
          "exists",
          [](Space& self, nb::handle hashes, const CallOptions& options) {
            const auto list = from_list(hashes);
            return value_or_raise(without_gil([&] { return self.exists(list, options); }));
          },
          "hashes"_a, "options"_a = CallOptions(),
          "Asks the owners of up to 8,192 hashes (bytes of 1 to 32): certain when they answer. "
          "Returns a list of bool, one for each.\n"
          "Raises Error: invalid_argument, unavailable, deadline_exceeded.")
      .def(
          "match",
          [](Space& self, nb::handle hashes, const CallOptions& options) {
            const auto list = from_list(hashes);
            return value_or_raise(without_gil([&] { return self.match(list, options); }));
          },
          "hashes"_a, "options"_a = CallOptions(),
          "Asks a router for the longest usable prefix of a chain of up to 8,192 hashes. Returns "
          "a MatchResult;\n"
          "it may lag an acknowledged put by 100 ms. Raises Error: invalid_argument, unavailable, "
          "deadline_exceeded.")
      .def(
          "create_session",
          [](Space& self, const std::string& id, int64_t ttl_ms, const CallOptions& options) {
            return value_or_raise(
                without_gil([&] { return self.create_session(id, ttl_ms, options); }));
          },
          "id"_a = "", "ttl_ms"_a = 0, "options"_a = CallOptions(),
          "Returns a new Session; an empty id draws one. ttl_ms in milliseconds, 0: never ends.\n"
          "Raises Error: exists, invalid_argument, unavailable, deadline_exceeded.")
      .def(
          "open_session", [](Space& self, const std::string& id) { return self.open_session(id); },
          "id"_a,
          "Returns the Session of this id and asks nobody: one that is not there, or is of another "
          "space, shows with resolve().")
      .def(
          "list_sessions",
          [](Space& self, const std::string& prefix, const CallOptions& options) {
            return value_or_raise(without_gil([&] { return self.list_sessions(prefix, options); }));
          },
          "prefix"_a = "", "options"_a = CallOptions(),
          "Returns a list of Manifest, in order of id, without blocks, tokens and tail.\nRaises "
          "Error: unavailable, deadline_exceeded.");
}

// The Buffer keeps a view of the memory, so that its owner neither goes nor resizes it.
nb::object register_memory(Client& self, nb::handle object) {
  const nb::object view = nb::steal(PyMemoryView_FromObject(object.ptr()));
  if (!view.is_valid()) throw nb::python_error();
  Py_buffer run;
  if (PyObject_GetBuffer(view.ptr(), &run, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) != 0) {
    throw nb::python_error();
  }
  auto buffer = self.register_memory(run.buf, static_cast<size_t>(run.len));
  PyBuffer_Release(&run);
  nb::object result = nb::cast(value_or_raise(std::move(buffer)));
  nb::keep_alive_obj(result, view);
  return result;
}

void bind_worker(nb::module_& module) {
  nb::class_<Worker>(
      module, "Worker",
      "A registered GPU worker: beats in the background until it is destroyed, or its "
      "`with` block ends; silence is its death.")
      .def("set_load", &Worker::set_load, "running"_a, "queued"_a,
           "What the next beat says: requests that run, and that wait.")
      .def("set_draining", &Worker::set_draining, "draining"_a,
           "True: routers send it nothing new.")
      .def("should_drain", &Worker::should_drain,
           "Returns True when an operator has asked it to finish and leave.")
      .def("connected", &Worker::connected, "Returns True while its last beat is answered.")
      .def("__enter__", [](nb::handle self) { return nb::borrow(self); })
      .def("__exit__", [](Worker& self, const nb::args&) {
        without_gil([&] { const Worker gone = std::move(self); });
      });
}

void bind_hasher(nb::module_& module) {
  nb::class_<Hasher>(module, "Hasher",
                     "Prefix hashes of token blocks, as the engines compute them.")
      .def_static(
          "open",
          [](const std::string& scheme, const std::string& seed, uint32_t block_tokens) {
            return value_or_raise(Hasher::open(scheme, seed, block_tokens));
          },
          "scheme"_a, "seed"_a, "block_tokens"_a,
          "scheme: sha256_cbor (vLLM; seed is PYTHONHASHSEED) or sha256_u32le (SGLang; takes no "
          "seed).\n"
          "Raises Error: invalid_argument.")
      .def(
          "hash",
          [](const Hasher& self, const std::vector<uint32_t>& tokens,
             const std::vector<std::string>& extra) {
            return to_list(without_gil([&] { return self.hash(tokens, extra); }));
          },
          "tokens"_a, "extra"_a = std::vector<std::string>(),
          "Returns a list of bytes, one hash of 32 for each full block of `tokens` (ints below "
          "2**32).\n"
          "extra: the adapter's name, then the cache salt; empty where there is none.");
}

}  // namespace

void bind_client(nb::module_& module) {
  bind_session(module);
  bind_space(module);
  bind_worker(module);
  bind_hasher(module);
  nb::class_<Client>(
      module, "Client",
      "The way to one cluster; ends with the last handle that came from it. May be used by "
      "many threads, not by a child made by os.fork().")
      .def_static(
          "connect",
          [](const ClientOptions& options) {
            return value_or_raise(without_gil([&] { return Client::connect(options); }));
          },
          "options"_a = ClientOptions(),
          "Proves who it is to a router; returns a Client.\n"
          "Raises Error: unavailable, unauthenticated, invalid_argument, unsupported (in a forked "
          "child).")
      .def(
          "open_space",
          [](Client& self, const SpaceSpec& spec, const CallOptions& options) {
            return value_or_raise(without_gil([&] { return self.open_space(spec, options); }));
          },
          "spec"_a, "options"_a = CallOptions(),
          "Registers the space of a SpaceSpec if it is new; returns a Space.\n"
          "Raises Error: invalid_argument, unavailable, permission_denied.")
      .def(
          "allocate", [](Client& self, size_t size) { return value_or_raise(self.allocate(size)); },
          "size"_a,
          "Returns a Buffer of `size` zeroed bytes. Raises Error: invalid_argument, overloaded.")
      .def("register_memory", &register_memory, "memory"_a,
           "Returns a Buffer over writable, C-contiguous memory, which it keeps alive and of its "
           "size.\n"
           "Raises BufferError, TypeError; Error: invalid_argument.")
      .def(
          "register_worker",
          [](Client& self, const Space& space, const WorkerSpec& spec) {
            return value_or_raise(without_gil([&] { return self.register_worker(space, spec); }));
          },
          "space"_a, "spec"_a,
          "Registers a WorkerSpec and waits for the first answer; returns a Worker.\n"
          "Raises Error: invalid_argument, exists, unavailable, deadline_exceeded.")
      .def(
          "route",
          [](Client& self, const Space& space, const RouteQuery& query,
             const CallOptions& options) {
            return value_or_raise(without_gil([&] { return self.route(space, query, options); }));
          },
          "space"_a, "query"_a, "options"_a = CallOptions(),
          "Which worker should serve this RouteQuery; returns a RouteChoice.\n"
          "Raises Error: unavailable (no worker is alive).")
      .def(
          "connections", [](const Client& self) { return self.connections(); },
          "Returns a list of ConnectionInfo, one for each storage server that it has talked to.")
      .def(
          "counters", [](const Client& self) { return self.counters(); },
          "Returns ClientCounters: what this client has done since it was made.\n"
          "Raises nothing.");
}

}  // namespace tarn::python
