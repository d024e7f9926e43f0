#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <utility>
#include <vector>

#include "sdk/cpp/include/tarn/tarn.h"

namespace tarn::python {

namespace nb = nanobind;

void bind_types(nb::module_& module);
void bind_memory(nb::module_& module);
void bind_view(nb::module_& module);
void bind_transfer(nb::module_& module);
void bind_client(nb::module_& module);
void bind_lmcache(nb::module_& module);

// Raises tarn.Error.
[[noreturn]] void raise(const Error& error);

// The value, or tarn.Error.
template <typename T>
T value_or_raise(Expected<T> result) {
  if (!result) raise(result.error());
  return std::move(result).value();
}

// Runs `call` without the GIL; it must not touch Python objects.
template <typename Call>
auto without_gil(Call call) {
  const nb::gil_scoped_release release;
  return call();
}

inline nb::bytes to_bytes(const std::string& text) {
  return nb::bytes(text.data(), text.size());
}
inline std::string from_bytes(const nb::bytes& bytes) {
  return {bytes.c_str(), bytes.size()};
}

inline nb::list to_list(const std::vector<std::string>& texts) {
  nb::list list;
  for (const auto& text : texts)
    list.append(to_bytes(text));
  return list;
}
std::vector<std::string> from_list(nb::handle list);

// Python's views of memory that a transfer uses, and the slices that the SDK sees. Needs the GIL
// for everything.
class HeldMemory {
 public:
  HeldMemory() = default;
  HeldMemory(HeldMemory&& other) noexcept
      : x_views(std::exchange(other.x_views, {})),
        x_owners(std::exchange(other.x_owners, {})),
        x_arrays(std::exchange(other.x_arrays, {})) {}
  HeldMemory& operator=(HeldMemory&&) = delete;
  ~HeldMemory() { release(); }

  // A slice of `object`: a tarn.Buffer, a tarn.Slice, anything with the buffer protocol, or with
  // DLPack and in host memory. Raises what Python raises for memory that is not contiguous, or not
  // writable where it has to be.
  Slice hold(nb::handle object, bool is_writable);
  void release();

 private:
  Slice hold_array(nb::handle object, bool is_writable);

  std::vector<Py_buffer> x_views;
  std::vector<nb::object> x_owners;
  std::vector<nb::ndarray<>> x_arrays;
};

// A Slice that keeps its Buffer alive.
struct OwnedSlice {
  Slice slice;
  nb::object owner;
};

struct PyPutItem {
  std::string hash, parent;
  nb::object slices;
  uint32_t shard = 0;
};

struct PyGetItem {
  std::string hash;
  nb::object slices;
  uint32_t shard = 0;
};

// A View that Python has exported the bytes of: release() lets no new memoryview come, and the pin
// ends with the last. Needs the GIL.
class PyView {
 public:
  explicit PyView(View view) : x_view(std::move(view)) {}

  const View& view() const { return x_view; }
  void release();
  // Without the GIL. Raises what View::verify returns.
  void verify();
  int get_buffer(PyObject* self, Py_buffer* into, int flags);
  void release_buffer();

 private:
  View x_view;
  size_t x_exports = 0;
  bool x_is_released = false;
};

// Starts a put, a get or a get_views; `items` is a sequence of PyPutItem, PyGetItem or ViewItem.
nb::object start_put(Space& space, nb::handle items, const CallOptions& options);
nb::object start_get(Space& space, nb::handle items, const CallOptions& options);
nb::object start_views(Space& space, nb::handle items, const CallOptions& options);

}  // namespace tarn::python
