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
  bool poll() const { return x_transfer->poll(); }
  void cancel() { x_transfer->cancel(); }
  int fileno() const { return x_transfer->fd(); }
  bool all_ok() const { return x_transfer->all_ok(); }
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
    const auto& from = nb::cast<const PyPutItem&>(item);
    list.push_back({from.hash, from.parent, hold_all(memory, from.slices, false), from.shard});
  }
  return wrap(without_gil([&] { return space.put_kv(list, options); }), std::move(memory));
}

nb::object start_get(Space& space, nb::handle items, const CallOptions& options) {
  HeldMemory memory;
  std::vector<GetItem> list;
  for (const nb::handle item : items) {
    const auto& from = nb::cast<const PyGetItem&>(item);
    list.push_back({from.hash, hold_all(memory, from.slices, true), from.shard});
  }
  return wrap(without_gil([&] { return space.get_kv(list, options); }), std::move(memory));
}

void bind_transfer(nb::module_& module) {
  nb::class_<PyTransfer>(module, "Transfer")
      .def("wait", &PyTransfer::wait, "timeout_ms"_a = 0)
      .def("poll", &PyTransfer::poll)
      .def("cancel", &PyTransfer::cancel)
      .def("fileno", &PyTransfer::fileno)
      .def("outcomes", &PyTransfer::outcomes)
      .def("all_ok", &PyTransfer::all_ok);
}

}  // namespace tarn::python
