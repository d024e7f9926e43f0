#include <nanobind/stl/string_view.h>

#include "sdk/python/src/bind.h"

namespace tarn::python {
namespace {

using namespace nb::literals;

void bind_enums(nb::module_& module) {
  nb::enum_<Outcome>(
      module, "Outcome",
      "What became of a call or of one block. ok, miss, exists, kept_less, conflict: nothing is "
      "wrong. unavailable to corrupt: try later. The rest: mend program or credentials.")
      .value("ok", Outcome::ok)
      .value("miss", Outcome::miss)
      .value("exists", Outcome::exists)
      .value("kept_less", Outcome::kept_less)
      .value("conflict", Outcome::conflict)
      .value("unavailable", Outcome::unavailable)
      .value("overloaded", Outcome::overloaded)
      .value("deadline_exceeded", Outcome::deadline_exceeded)
      .value("cancelled", Outcome::cancelled)
      .value("corrupt", Outcome::corrupt)
      .value("invalid_argument", Outcome::invalid_argument)
      .value("unauthenticated", Outcome::unauthenticated)
      .value("permission_denied", Outcome::permission_denied)
      .value("unsupported", Outcome::unsupported)
      .value("internal", Outcome::internal);
  nb::enum_<Transport>(module, "Transport", "How bytes may travel to storage servers.")
      .value("automatic", Transport::automatic)
      .value("tcp", Transport::tcp)
      .value("shm", Transport::shm)
      .value("grpc", Transport::grpc)
      .value("local", Transport::local);
  nb::enum_<Medium>(module, "Medium", "What a copy has to be on to count: memory, or flash.")
      .value("memory", Medium::memory)
      .value("flash", Medium::flash);
}

// Makes `Class(field=value, ...)` set the named attributes; an unknown name raises AttributeError
// as Python does.
template <typename T>
void set_fields(nb::handle self, const nb::kwargs& fields) {
  for (const auto& [name, value] : fields)
    nb::setattr(self, name, value);
}

template <typename T>
nb::class_<T> record(nb::module_& module, const char* name, const char* doc) {
  nb::class_<T> type(module, name, doc);
  type.def("__init__", [](nb::pointer_and_handle<T> self, const nb::kwargs& fields) {
    new (self.p) T();
    nb::inst_mark_ready(self.h);
    set_fields<T>(self.h, fields);
  });
  return type;
}

// A std::string that Python sees as bytes.
template <typename T, std::string T::*kMember>
void bytes_field(nb::class_<T>& type, const char* name) {
  type.def_prop_rw(
      name, [](const T& self) { return to_bytes(self.*kMember); },
      [](T& self, const nb::bytes& value) { self.*kMember = from_bytes(value); });
}

template <typename T, std::vector<std::string> T::*kMember>
void bytes_list_field(nb::class_<T>& type, const char* name) {
  type.def_prop_rw(
      name, [](const T& self) { return to_list(self.*kMember); },
      [](T& self, nb::handle value) { self.*kMember = from_list(value); });
}

void bind_options(nb::module_& module) {
  record<ClientOptions>(
      module, "ClientOptions",
      "How to reach a cluster: endpoint (HOST:PORT,...), credentials (a folder), token, transport, "
      "timeout_ms, spin_us (microseconds), polling (bool: never sleeps while transfers are under "
      "way), in_flight_bytes_max (bytes), hedge_fraction (0 to 1: of the blocks of gets, how many "
      "may be asked of a second server when the first is late).")
      .def_rw("endpoint", &ClientOptions::endpoint)
      .def_rw("credentials", &ClientOptions::credentials)
      .def_rw("token", &ClientOptions::token)
      .def_rw("transport", &ClientOptions::transport)
      .def_rw("timeout_ms", &ClientOptions::timeout_ms)
      .def_rw("spin_us", &ClientOptions::spin_us)
      .def_rw("polling", &ClientOptions::polling)
      .def_rw("in_flight_bytes_max", &ClientOptions::in_flight_bytes_max)
      .def_rw("hedge_fraction", &ClientOptions::hedge_fraction);
  record<CallOptions>(module, "CallOptions",
                      "timeout_ms (milliseconds, 0: the client's), copies (1 to 16 failure "
                      "domains), medium (Medium: of each copy), allow_less (bool), layer_ends "
                      "(list of int: where each layer "
                      "ends within a block, in bytes, the last at its size; get_kv alone).")
      .def_rw("timeout_ms", &CallOptions::timeout_ms)
      .def_rw("copies", &CallOptions::copies)
      .def_rw("medium", &CallOptions::medium)
      .def_rw("allow_less", &CallOptions::allow_less)
      .def_rw("layer_ends", &CallOptions::layer_ends);
  record<SpaceSpec>(module, "SpaceSpec",
                    "One KV geometry; all fields together are its identity. block_tokens in "
                    "tokens, extent_blocks 1 to 64.")
      .def_rw("model", &SpaceSpec::model)
      .def_rw("revision", &SpaceSpec::revision)
      .def_rw("dtype", &SpaceSpec::dtype)
      .def_rw("layout", &SpaceSpec::layout)
      .def_rw("block_tokens", &SpaceSpec::block_tokens)
      .def_rw("tensor_parallel", &SpaceSpec::tensor_parallel)
      .def_rw("hash_scheme", &SpaceSpec::hash_scheme)
      .def_rw("hash_seed", &SpaceSpec::hash_seed)
      .def_rw("flat", &SpaceSpec::flat)
      .def_rw("extent_blocks", &SpaceSpec::extent_blocks);
}

void bind_sessions(nb::module_& module) {
  auto manifest =
      record<Manifest>(module, "Manifest",
                       "A session as it stands: blocks (list of bytes, in token order), token_ids "
                       "(list of int), tail (bytes, at most 64 KiB), expires_unix_ms (0: never).");
  manifest.def_ro("session_id", &Manifest::session_id)
      .def_ro("version", &Manifest::version)
      .def_ro("block_count", &Manifest::block_count)
      .def_ro("token_count", &Manifest::token_count)
      .def_ro("token_ids", &Manifest::token_ids)
      .def_ro("pinned", &Manifest::pinned)
      .def_ro("expires_unix_ms", &Manifest::expires_unix_ms)
      .def_ro("parent", &Manifest::parent);
  bytes_list_field<Manifest, &Manifest::blocks>(manifest, "blocks");
  bytes_field<Manifest, &Manifest::tail>(manifest, "tail");

  auto append =
      record<Append>(module, "Append",
                     "What an append adds: blocks (list of bytes), token_count (the new total), "
                     "token_ids, tail (bytes, at most 64 KiB, replaces the old one).");
  append.def_rw("token_count", &Append::token_count).def_rw("token_ids", &Append::token_ids);
  bytes_list_field<Append, &Append::blocks>(append, "blocks");
  bytes_field<Append, &Append::tail>(append, "tail");

  auto truncate = record<Truncate>(
      module, "Truncate",
      "What a truncation keeps: block_count, token_count, tail (bytes, at most 64 KiB).");
  truncate.def_rw("block_count", &Truncate::block_count)
      .def_rw("token_count", &Truncate::token_count);
  bytes_field<Truncate, &Truncate::tail>(truncate, "tail");
}

void bind_workers(nb::module_& module) {
  record<WorkerSpec>(module, "WorkerSpec",
                     "name (1 to 128 bytes), endpoint (opaque to Tarn), capacity (requests at "
                     "once), prefill_tokens_per_s.")
      .def_rw("name", &WorkerSpec::name)
      .def_rw("endpoint", &WorkerSpec::endpoint)
      .def_rw("capacity", &WorkerSpec::capacity)
      .def_rw("prefill_tokens_per_s", &WorkerSpec::prefill_tokens_per_s);
  auto query = record<RouteQuery>(module, "RouteQuery",
                                  "session_id, or hashes (list of bytes) of the prefix; "
                                  "new_tokens; exclude (names of workers that failed).");
  query.def_rw("session_id", &RouteQuery::session_id)
      .def_rw("new_tokens", &RouteQuery::new_tokens)
      .def_rw("exclude", &RouteQuery::exclude);
  bytes_list_field<RouteQuery, &RouteQuery::hashes>(query, "hashes");
  record<RouteChoice>(module, "RouteChoice",
                      "worker, endpoint, cached_tokens, estimated_fetch_us (microseconds).")
      .def_ro("worker", &RouteChoice::worker)
      .def_ro("endpoint", &RouteChoice::endpoint)
      .def_ro("cached_tokens", &RouteChoice::cached_tokens)
      .def_ro("estimated_fetch_us", &RouteChoice::estimated_fetch_us);
}

void bind_answers(nb::module_& module) {
  record<BlockOutcome>(module, "BlockOutcome",
                       "What became of one item: outcome, bytes (the block's), copies (failure "
                       "domains), server, message (why, where it is an error).")
      .def_ro("outcome", &BlockOutcome::outcome)
      .def_ro("bytes", &BlockOutcome::bytes)
      .def_ro("copies", &BlockOutcome::copies)
      .def_ro("server", &BlockOutcome::server)
      .def_ro("message", &BlockOutcome::message);
  record<MatchRun>(module, "MatchRun",
                   "Blocks first to first + count - 1 of the hashes asked for, at server, in tier; "
                   "estimated_us (microseconds).")
      .def_ro("first", &MatchRun::first)
      .def_ro("count", &MatchRun::count)
      .def_ro("server", &MatchRun::server)
      .def_ro("tier", &MatchRun::tier)
      .def_ro("estimated_us", &MatchRun::estimated_us);
  record<MatchResult>(module, "MatchResult",
                      "matched (blocks of usable prefix), runs (list of MatchRun), partial (a "
                      "router is still learning).")
      .def_ro("matched", &MatchResult::matched)
      .def_ro("runs", &MatchResult::runs)
      .def_ro("partial", &MatchResult::partial);
  record<ConnectionInfo>(
      module, "ConnectionInfo",
      "server, endpoint, transport (\"ucx: tcp over lo\"), note (why nothing better was taken).")
      .def_ro("server", &ConnectionInfo::server)
      .def_ro("endpoint", &ConnectionInfo::endpoint)
      .def_ro("transport", &ConnectionInfo::transport)
      .def_ro("note", &ConnectionInfo::note);
  record<ClientCounters>(module, "ClientCounters",
                         "Since the client was made: blocks_asked_twice (see "
                         "ClientOptions.hedge_fraction), blocks_from_second (of those, the second "
                         "server was first).")
      .def_ro("blocks_asked_twice", &ClientCounters::blocks_asked_twice)
      .def_ro("blocks_from_second", &ClientCounters::blocks_from_second);
}

}  // namespace

void bind_types(nb::module_& module) {
  bind_enums(module);
  bind_options(module);
  bind_sessions(module);
  bind_workers(module);
  bind_answers(module);
}

}  // namespace tarn::python
