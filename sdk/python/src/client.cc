#include "sdk/python/src/bind.h"

namespace tarn::python {
namespace {

using namespace nb::literals;

void bind_session(nb::module_& module) {
  nb::class_<Session>(module, "Session")
      .def_prop_ro("id", [](const Session& self) { return self.id(); })
      .def(
          "append",
          [](Session& self, uint64_t expected_version, const Append& what,
             const CallOptions& options) {
            return value_or_raise(
                without_gil([&] { return self.append(expected_version, what, options); }));
          },
          "expected_version"_a, "what"_a, "options"_a = CallOptions())
      .def(
          "resolve",
          [](const Session& self, const CallOptions& options) {
            return value_or_raise(without_gil([&] { return self.resolve(options); }));
          },
          "options"_a = CallOptions())
      .def(
          "fork",
          [](const Session& self, const std::string& new_id, const CallOptions& options) {
            return value_or_raise(without_gil([&] { return self.fork(new_id, options); }));
          },
          "new_id"_a = "", "options"_a = CallOptions())
      .def(
          "truncate",
          [](Session& self, uint64_t expected_version, const Truncate& to,
             const CallOptions& options) {
            return value_or_raise(
                without_gil([&] { return self.truncate(expected_version, to, options); }));
          },
          "expected_version"_a, "to"_a, "options"_a = CallOptions())
      .def(
          "pin",
          [](Session& self, bool pinned, const CallOptions& options) {
            value_or_raise(without_gil([&] { return self.pin(pinned, options); }));
          },
          "pinned"_a, "options"_a = CallOptions())
      .def(
          "set_ttl",
          [](Session& self, int64_t ttl_ms, const CallOptions& options) {
            value_or_raise(without_gil([&] { return self.set_ttl(ttl_ms, options); }));
          },
          "ttl_ms"_a, "options"_a = CallOptions())
      .def(
          "remove",
          [](Session& self, const CallOptions& options) {
            value_or_raise(without_gil([&] { return self.remove(options); }));
          },
          "options"_a = CallOptions());
}

void bind_space(nb::module_& module) {
  nb::class_<Space>(module, "Space")
      .def_prop_ro("spec", [](const Space& self) { return self.spec(); })
      .def_prop_ro("id", [](const Space& self) { return self.id(); })
      .def("put_kv", &start_put, "items"_a, "options"_a = CallOptions())
      .def("get_kv", &start_get, "items"_a, "options"_a = CallOptions())
      .def(
          "exists",
          [](Space& self, nb::handle hashes, const CallOptions& options) {
            const auto list = from_list(hashes);
            return value_or_raise(without_gil([&] { return self.exists(list, options); }));
          },
          "hashes"_a, "options"_a = CallOptions())
      .def(
          "match",
          [](Space& self, nb::handle hashes, const CallOptions& options) {
            const auto list = from_list(hashes);
            return value_or_raise(without_gil([&] { return self.match(list, options); }));
          },
          "hashes"_a, "options"_a = CallOptions())
      .def(
          "create_session",
          [](Space& self, const std::string& id, int64_t ttl_ms, const CallOptions& options) {
            return value_or_raise(
                without_gil([&] { return self.create_session(id, ttl_ms, options); }));
          },
          "id"_a = "", "ttl_ms"_a = 0, "options"_a = CallOptions())
      .def(
          "open_session", [](Space& self, const std::string& id) { return self.open_session(id); },
          "id"_a)
      .def(
          "list_sessions",
          [](Space& self, const std::string& prefix, const CallOptions& options) {
            return value_or_raise(without_gil([&] { return self.list_sessions(prefix, options); }));
          },
          "prefix"_a = "", "options"_a = CallOptions());
}

// The memory stays alive as long as the Buffer (nb::keep_alive where it is bound).
Buffer register_memory(Client& self, nb::handle object) {
  Py_buffer view;
  if (PyObject_GetBuffer(object.ptr(), &view, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) != 0) {
    throw nb::python_error();
  }
  auto buffer = self.register_memory(view.buf, static_cast<size_t>(view.len));
  PyBuffer_Release(&view);
  return value_or_raise(std::move(buffer));
}

void bind_worker(nb::module_& module) {
  nb::class_<Worker>(module, "Worker")
      .def("set_load", &Worker::set_load, "running"_a, "queued"_a)
      .def("set_draining", &Worker::set_draining, "draining"_a)
      .def("should_drain", &Worker::should_drain)
      .def("connected", &Worker::connected);
}

void bind_hasher(nb::module_& module) {
  nb::class_<Hasher>(module, "Hasher")
      .def_static(
          "open",
          [](const std::string& scheme, const std::string& seed, uint32_t block_tokens) {
            return value_or_raise(Hasher::open(scheme, seed, block_tokens));
          },
          "scheme"_a, "seed"_a, "block_tokens"_a)
      .def(
          "hash",
          [](const Hasher& self, const std::vector<uint32_t>& tokens,
             const std::vector<std::string>& extra) {
            return to_list(without_gil([&] { return self.hash(tokens, extra); }));
          },
          "tokens"_a, "extra"_a = std::vector<std::string>());
}

}  // namespace

void bind_client(nb::module_& module) {
  bind_session(module);
  bind_space(module);
  bind_worker(module);
  bind_hasher(module);
  nb::class_<Client>(module, "Client")
      .def_static(
          "connect",
          [](const ClientOptions& options) {
            return value_or_raise(without_gil([&] { return Client::connect(options); }));
          },
          "options"_a = ClientOptions())
      .def(
          "open_space",
          [](Client& self, const SpaceSpec& spec, const CallOptions& options) {
            return value_or_raise(without_gil([&] { return self.open_space(spec, options); }));
          },
          "spec"_a, "options"_a = CallOptions())
      .def(
          "allocate", [](Client& self, size_t size) { return value_or_raise(self.allocate(size)); },
          "size"_a)
      .def("register_memory", &register_memory, "memory"_a, nb::keep_alive<0, 2>())
      .def(
          "register_worker",
          [](Client& self, const Space& space, const WorkerSpec& spec) {
            return value_or_raise(without_gil([&] { return self.register_worker(space, spec); }));
          },
          "space"_a, "spec"_a)
      .def(
          "route",
          [](Client& self, const Space& space, const RouteQuery& query,
             const CallOptions& options) {
            return value_or_raise(without_gil([&] { return self.route(space, query, options); }));
          },
          "space"_a, "query"_a, "options"_a = CallOptions())
      .def("connections", [](const Client& self) { return self.connections(); });
}

}  // namespace tarn::python
