#include "sdk/python/src/bind.h"

namespace tarn::python {

void raise(const Error& error) {
  const nb::object type = nb::module_::import_("tarn._errors").attr("Error");
  const nb::object instance = type(nb::cast(error.outcome), error.message);
  PyErr_SetObject(type.ptr(), instance.ptr());
  throw nb::python_error();
}

std::vector<std::string> from_list(nb::handle list) {
  std::vector<std::string> texts;
  for (const nb::handle item : list) {
    if (!nb::isinstance<nb::bytes>(item)) throw nb::type_error("a list of bytes is expected");
    texts.push_back(from_bytes(nb::borrow<nb::bytes>(item)));
  }
  return texts;
}

}  // namespace tarn::python

NB_MODULE(_core, module) {
  tarn::python::bind_types(module);
  tarn::python::bind_memory(module);
  tarn::python::bind_view(module);
  tarn::python::bind_transfer(module);
  tarn::python::bind_client(module);
  tarn::python::bind_lmcache(module);
  module.def("version", &tarn::version,
             "Returns the SDK's version, and the UCX it runs on: \"0.1.0 (UCX 1.13.1)\".");
  module.doc() = "The C++ core of the package tarn.";
}
