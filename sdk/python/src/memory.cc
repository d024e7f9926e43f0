#include "sdk/python/src/bind.h"

namespace tarn::python {
namespace {

using namespace nb::literals;

int get_buffer(PyObject* object, Py_buffer* view, int flags) {
  Buffer& buffer = *nb::inst_ptr<Buffer>(object);
  return PyBuffer_FillInfo(view, object, buffer.data(), static_cast<Py_ssize_t>(buffer.size()), 0,
                           flags);
}

PyType_Slot kBufferSlots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)}, {0, nullptr}};

OwnedSlice slice_of(nb::handle self, size_t offset, size_t size) {
  const Slice slice = nb::cast<Buffer&>(self).slice(offset, size);
  if (slice.data == nullptr) throw nb::value_error("slice: offset + size is past the buffer's end");
  return {slice, nb::borrow(self)};
}

}  // namespace

Slice HeldMemory::hold(nb::handle object, bool is_writable) {
  if (nb::isinstance<OwnedSlice>(object)) {
    const auto& owned = nb::cast<OwnedSlice&>(object);
    x_owners.push_back(owned.owner);
    return owned.slice;
  }
  if (nb::isinstance<Buffer>(object)) {
    x_owners.push_back(nb::borrow(object));
    const Buffer& buffer = nb::cast<Buffer&>(object);
    return buffer.slice(0, buffer.size());
  }
  if (!PyObject_CheckBuffer(object.ptr()) && nb::hasattr(object, "__dlpack__")) {
    return hold_array(object, is_writable);
  }
  Py_buffer view;
  const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (is_writable ? PyBUF_WRITABLE : 0);
  if (PyObject_GetBuffer(object.ptr(), &view, flags) != 0) throw nb::python_error();
  x_views.push_back(view);
  return Slice::of(view.buf, static_cast<size_t>(view.len));
}

Slice HeldMemory::hold_array(nb::handle object, bool is_writable) {
  nb::ndarray<> array;
  if (!nb::try_cast<nb::ndarray<>>(object, array)) {
    // Importing asks for writable memory; what is read-only says so by itself.
    if (is_writable) throw nb::buffer_error("memory of an array that is not writable");
    nb::ndarray<nb::ro> read_only;
    if (!nb::try_cast<nb::ndarray<nb::ro>>(object, read_only)) {
      throw nb::type_error("an array whose DLPack cannot be used");
    }
    array = nb::ndarray<>(read_only);
  }
  if (array.device_type() != nb::device::cpu::value) {
    throw nb::buffer_error("memory of a device: copy it to the host first");
  }
  int64_t run = 1;
  for (size_t i = array.ndim(); i-- > 0; run *= static_cast<int64_t>(array.shape(i))) {
    if (array.shape(i) != 1 && array.stride(i) != run) {
      throw nb::buffer_error("an array that is not C-contiguous");
    }
  }
  x_arrays.push_back(array);
  return Slice::of(array.data(), array.nbytes());
}

void HeldMemory::release() {
  for (Py_buffer& view : x_views)
    PyBuffer_Release(&view);
  x_views.clear();
  x_owners.clear();
  x_arrays.clear();
}

void bind_memory(nb::module_& module) {
  nb::class_<OwnedSlice>(module, "Slice", "A run of bytes in a Buffer, which it keeps alive.")
      .def_prop_ro("size", [](const OwnedSlice& self) { return self.slice.size; });
  nb::class_<Buffer>(
      module, "Buffer", nb::type_slots(kBufferSlots),
      "Memory that transfers may use for long, registered once; has the buffer protocol.")
      .def("slice", &slice_of, "offset"_a, "size"_a,
           "Returns a Slice of `size` bytes from `offset`. Raises ValueError past the end.")
      .def("__len__", &Buffer::size)
      .def_prop_ro("size", &Buffer::size);
  nb::class_<PyPutItem>(
      module, "PutItem",
      "One block to keep: hash and parent (bytes of 1 to 32; parent empty for a chain's "
      "first), slices (a list of memory, 1 byte to 64 MiB together), shard (int).")
      .def(
          "__init__",
          [](PyPutItem* self, const nb::bytes& hash, const nb::bytes& parent, nb::object slices,
             uint32_t shard) {
            new (self) PyPutItem{from_bytes(hash), from_bytes(parent), std::move(slices), shard};
          },
          nb::kw_only(), "hash"_a, "parent"_a = nb::bytes("", 0), "slices"_a, "shard"_a = 0)
      .def_prop_ro("hash", [](const PyPutItem& self) { return to_bytes(self.hash); })
      .def_prop_ro("parent", [](const PyPutItem& self) { return to_bytes(self.parent); })
      .def_ro("slices", &PyPutItem::slices)
      .def_ro("shard", &PyPutItem::shard);
  nb::class_<PyGetItem>(
      module, "GetItem",
      "One block to fetch: hash (bytes of 1 to 32), slices (a list of writable memory, of "
      "the block's size together), shard (int).")
      .def(
          "__init__",
          [](PyGetItem* self, const nb::bytes& hash, nb::object slices, uint32_t shard) {
            new (self) PyGetItem{from_bytes(hash), std::move(slices), shard};
          },
          nb::kw_only(), "hash"_a, "slices"_a, "shard"_a = 0)
      .def_prop_ro("hash", [](const PyGetItem& self) { return to_bytes(self.hash); })
      .def_ro("slices", &PyGetItem::slices)
      .def_ro("shard", &PyGetItem::shard);
}

}  // namespace tarn::python
