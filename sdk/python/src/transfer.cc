#include <optional>

#include "sdk/python/src/bind.h"

namespace tarn::python {
namespace {

using namespace nb::literals;

// A Transfer and the Python memory that it uses; the memory is let go after the transfer has ended.
// Needs the GIL, which waiting releases.
class PyTransfer {
 public:
  PyTransfer(Transfer transfer, HeldMemory memory)
      : x_memory(std::move(memory)), x_transfer(std::move(transfer)) {}
  PyTransfer(PyTransfer&&) = default;
  ~PyTransfer() {
    without_gil([this] { x_transfer.reset(); });
  }

  void wait(uint32_t timeout_ms) {
    auto ended = without_gil([&] { return x_transfer->wait(timeout_ms); });
    value_or_raise(std::move(ended));
  }
  void finish() {
    if (poll()) return;
    cancel();
    wait(0);
  }
  bool poll() const { return x_transfer->poll(); }
  void cancel() { x_transfer->cancel(); }
  int fd() const { return x_transfer->fd(); }
  uint32_t layers_ready() const { return x_transfer->layers_ready(); }
  int layer_fd() const { return x_transfer->layer_fd(); }
  void wait_layer(uint32_t layer, uint32_t timeout_ms) {
    auto landed = without_gil([&] { return x_transfer->wait_layer(layer, timeout_ms); });
    value_or_raise(std::move(landed));
  }
  bool all_ok() const { return x_transfer->all_ok(); }
  nb::object take_view(size_t item) { return nb::cast(PyView(x_transfer->take_view(item))); }
  std::vector<BlockOutcome> outcomes() const {
    const auto all = x_transfer->outcomes();
    return {all.begin(), all.end()};
  }

 private:
  HeldMemory x_memory;
  std::optional<Transfer> x_transfer;  // ends before the memory is let go
};

std::vector<Slice> hold_all(HeldMemory& memory, nb::handle objects, bool is_writable) {
  std::vector<Slice> slices;
  for (const nb::handle object : objects)
    slices.push_back(memory.hold(object, is_writable));
  return slices;
}

nb::object wrap(Transfer transfer, HeldMemory memory) {
  return nb::cast(PyTransfer(std::move(transfer), std::move(memory)));
}

}  // namespace

nb::object start_put(Space& space, nb::handle items, const CallOptions& options) {
  HeldMemory memory;
  std::vector<PutItem> list;
  for (const nb::handle item : items) {
    if (!nb::isinstance<PyPutItem>(item))
      throw nb::type_error("items: every one must be a PutItem");
    const auto& from = nb::cast<const PyPutItem&>(item);
    list.push_back({from.hash, from.parent, hold_all(memory, from.slices, false), from.shard});
  }
  return wrap(without_gil([&] { return space.put_kv(list, options); }), std::move(memory));
}

nb::object start_get(Space& space, nb::handle items, const CallOptions& options) {
  HeldMemory memory;
  std::vector<GetItem> list;
  for (const nb::handle item : items) {
    if (!nb::isinstance<PyGetItem>(item))
      throw nb::type_error("items: every one must be a GetItem");
    const auto& from = nb::cast<const PyGetItem&>(item);
    list.push_back({from.hash, hold_all(memory, from.slices, true), from.shard});
  }
  return wrap(without_gil([&] { return space.get_kv(list, options); }), std::move(memory));
}

nb::object start_views(Space& space, nb::handle items, const CallOptions& options) {
  std::vector<ViewItem> list;
  for (const nb::handle item : items) {
    if (!nb::isinstance<ViewItem>(item))
      throw nb::type_error("items: every one must be a ViewItem");
    list.push_back(nb::cast<const ViewItem&>(item));
  }
  return wrap(without_gil([&] { return space.get_views(list, options); }), HeldMemory());
}

void bind_transfer(nb::module_& module) {
  nb::class_<PyTransfer>(module, "Transfer",
                         "A running put, get or get_views, which holds the memory that it uses. "
                         "Its end, or that of its "
                         "`with` block, cancels what is not done and waits until memory is safe.")
      .def("wait", &PyTransfer::wait, "timeout_ms"_a = 0,
           "Blocks, without the GIL, until it has ended, or for timeout_ms milliseconds; with 0 "
           "until its own deadline ends it, and up to 1.5 s past that where I/O is stuck.\n"
           "Raises Error: deadline_exceeded: it has not ended, outcomes are not settled. A miss is "
           "no error: look at outcomes().")
      .def("poll", &PyTransfer::poll, "Returns True when it has ended. Never blocks.")
      .def("cancel", &PyTransfer::cancel,
           "Asks it to end soon; what is not done becomes cancelled.")
      .def("fd", &PyTransfer::fd,
           "Returns a file descriptor that is readable once it has ended; valid as long as the "
           "Transfer.")
      .def("fileno", &PyTransfer::fd, "fd() under the name that select and event loops call.")
      .def("layers_ready", &PyTransfer::layers_ready,
           "Returns how many layers of a get with CallOptions.layer_ends, from the first on, have "
           "landed in all blocks. Their checksums were right as the servers sent them; the last "
           "one is told only when each whole block has the checksum of its put as well, so let "
           "out nothing made of the others before. Never blocks.")
      .def("layer_fd", &PyTransfer::layer_fd,
           "Returns a file descriptor that is readable when layers_ready() would tell more than "
           "it did last, and once the transfer has ended; -1 without layers.")
      .def("wait_layer", &PyTransfer::wait_layer, "layer"_a, "timeout_ms"_a = 0,
           "Blocks, without the GIL, until layer `layer` (from 0) has landed, or for timeout_ms "
           "milliseconds; with 0 as wait() does.\n"
           "Raises Error: deadline_exceeded; invalid_argument: no such layer; the outcome of the "
           "block because of which it never lands.")
      .def("outcomes", &PyTransfer::outcomes,
           "Returns a list of BlockOutcome, one for each item in the order of the call; settled "
           "once the "
           "transfer has ended.")
      .def("all_ok", &PyTransfer::all_ok,
           "Returns True when it has ended and each outcome is ok (puts: or exists).")
      .def("take_view", &PyTransfer::take_view, "item"_a,
           "Of a get_views that has ended: returns the View of the item (int: its place in the "
           "call), once.\n"
           "It is empty for an item that is not ok, and may outlive the transfer.")
      .def("__enter__", [](nb::handle self) { return nb::borrow(self); })
      .def("__exit__", [](PyTransfer& self, const nb::args&) { self.finish(); });
}

}  // namespace tarn::python
