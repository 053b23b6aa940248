#include "bindings/python/native.hpp"

#include "compute/model/transcript.hpp"

#include <numeric>

namespace py = pybind11;

namespace ovir::python {

memory_view dense_view(std::shared_ptr<const void> keeper, const void* data, const char* format,
                       py::ssize_t item_bytes, std::vector<py::ssize_t> shape) {
  static constexpr std::byte nothing{0}; // readers expect an address even of no bytes
  memory_view view{std::move(keeper),
                   data == nullptr ? &nothing : data,
                   format,
                   item_bytes,
                   std::move(shape),
                   {}};
  view.strides.resize(view.shape.size());
  py::ssize_t stride = item_bytes;
  for (std::size_t i = view.shape.size(); i-- > 0;) {
    view.strides[i] = stride;
    stride *= view.shape[i];
  }
  return view;
}

namespace {

void raise_in_python(const error& reason) {
  const py::object type = py::module_::import("ovir._errors").attr("OvirError");
  const py::object made =
      type(std::string{to_string(reason.code)}, reason.message); // the exception itself
  PyErr_SetObject(type.ptr(), made.ptr());
}

} // namespace

} // namespace ovir::python

PYBIND11_MODULE(_native, module) {
  module.doc() = "The native part of the package ovir; use the package.";
  module.attr("version") = OVIR_VERSION;
  module.attr("profile") = std::string{ovir::compute::profile_name};
  py::register_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) {
        std::rethrow_exception(std::move(thrown));
      }
    } catch (const ovir::python::native_error& e) {
      ovir::python::raise_in_python(e.reason());
    }
  });
  ovir::python::bind_files(module);
  ovir::python::bind_models(module);
  ovir::python::bind_records(module);
}
