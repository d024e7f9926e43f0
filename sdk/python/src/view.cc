#include "sdk/python/src/bind.h"

namespace tarn::python {
namespace {

using namespace nb::literals;

int get_view_buffer(PyObject* object, Py_buffer* into, int flags) {
  return nb::inst_ptr<PyView>(object)->get_buffer(object, into, flags);
}

void release_view_buffer(PyObject* object, Py_buffer*) {
  nb::inst_ptr<PyView>(object)->release_buffer();
}

PyType_Slot kViewSlots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(get_view_buffer)},
                            {Py_bf_releasebuffer, reinterpret_cast<void*>(release_view_buffer)},
                            {0, nullptr}};

nb::object bytes_of(nb::handle self) {
  nb::object view = nb::steal(PyMemoryView_FromObject(self.ptr()));
  if (!view.is_valid()) throw nb::python_error();
  return view;
}

void bind_view_item(nb::module_& module) {
  nb::class_<ViewItem>(
      module, "ViewItem",
      "One block to look at: hash (bytes of 1 to 32), bytes_max (int: the most that the block may "
      "have; name its size where you know it), shard (int).")
      .def(
          "__init__",
          [](ViewItem* self, const nb::bytes& hash, uint64_t bytes_max, uint32_t shard) {
            new (self) ViewItem{from_bytes(hash), bytes_max, shard};
          },
          nb::kw_only(), "hash"_a, "bytes_max"_a = ViewItem().bytes_max, "shard"_a = 0)
      .def_prop_ro("hash", [](const ViewItem& self) { return to_bytes(self.hash); })
      .def_ro("bytes_max", &ViewItem::bytes_max)
      .def_ro("shard", &ViewItem::shard);
}

}  // namespace

int PyView::get_buffer(PyObject* self, Py_buffer* into, int flags) {
  if (x_is_released) {
    into->obj = nullptr;
    PyErr_SetString(PyExc_BufferError, "the view is released");
    return -1;
  }
  const std::span<const std::byte> bytes = x_view.bytes();
  const int filled = PyBuffer_FillInfo(into, self, const_cast<std::byte*>(bytes.data()),
                                       static_cast<Py_ssize_t>(bytes.size()), 1, flags);
  if (filled == 0) ++x_exports;
  return filled;
}

void PyView::release_buffer() {
  --x_exports;
  if (x_is_released) release();
}

void PyView::release() {
  x_is_released = true;
  if (x_exports == 0) without_gil([this] { x_view.release(); });
}

void PyView::verify() {
  // As a memoryview would: nobody takes the bytes away meanwhile.
  ++x_exports;
  const auto verified = without_gil([this] { return x_view.verify(); });
  release_buffer();
  value_or_raise(verified);
}

void bind_view(nb::module_& module) {
  bind_view_item(module);
  nb::class_<PyView>(
      module, "View", nb::type_slots(kViewSlots),
      "A block's bytes, to read where they are; has the buffer protocol, so that numpy.frombuffer "
      "and memoryview copy nothing. Nobody writes to them until it is released, or its `with` "
      "block has ended, and the last memoryview of it is gone.")
      .def("bytes", &bytes_of,
           "Returns a read-only memoryview of the bytes, empty where there was no such block.\n"
           "Raises BufferError once released.")
      .def(
          "is_mapped", [](const PyView& self) { return self.view().is_mapped(); },
          "Returns True for memory of the server, mapped, which nobody has verified; False for a "
          "copy,\nwhose checksum was right.")
      .def(
          "verify", [](PyView& self) { self.verify(); },
          "Reads the bytes, without the GIL, and compares their CRC32C with that of the put.\n"
          "Raises Error: corrupt; miss for an empty or released view.")
      .def("release", &PyView::release,
           "No memoryview can be had from here on; the pin ends with the last that lives.\n"
           "Harmless when repeated.")
      .def("__len__", [](const PyView& self) { return self.view().bytes().size(); })
      .def("__enter__", [](nb::handle self) { return nb::borrow(self); })
      .def("__exit__", [](PyView& self, const nb::args&) { self.release(); });
}

}  // namespace tarn::python
