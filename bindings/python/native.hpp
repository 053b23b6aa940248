#pragma once

#include "apps/open_model.hpp"
#include "bindings/held_model.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <pybind11/pybind11.h>

#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

/// What the sources of the module `ovir._native` share.
namespace ovir::python {

/// An error on its way to Python, where it is an `ovir.OvirError`.
class native_error : public std::exception {
public:
  explicit native_error(error reason) : reason_(std::move(reason)) {}
  [[nodiscard]] const char* what() const noexcept override { return reason_.message.c_str(); }
  [[nodiscard]] const error& reason() const noexcept { return reason_; }

private:
  error reason_;
};

template <class T>
T unwrap(result<T> made) {
  if (!made) {
    throw native_error{made.error()};
  }
  if constexpr (!std::is_void_v<T>) {
    return std::move(made).value();
  }
}

using bindings::machine;

/// Memory that Python sees without a copy, by the buffer protocol. `keeper` owns it: as long as a
/// view, a memoryview or an array over it is there, so is the memory.
struct memory_view {
  std::shared_ptr<const void> keeper;
  const void* data{nullptr};
  const char* format{"B"}; ///< of the module struct: B, b, h, i, q, e, f, d
  pybind11::ssize_t item_bytes{1};
  std::vector<pybind11::ssize_t> shape;
  std::vector<pybind11::ssize_t> strides; ///< bytes
  bool writable{false};                   ///< a copy, which nothing else reads
};

/// A row-major view of a shape. `Item` has the size of the format.
[[nodiscard]] memory_view dense_view(std::shared_ptr<const void> keeper, const void* data,
                                     const char* format, pybind11::ssize_t item_bytes,
                                     std::vector<pybind11::ssize_t> shape);

/// Classes View, Tensor and File: model files and what is in them.
void bind_files(pybind11::module_& module);
/// Classes Model and Generation: a model and its runs.
void bind_models(pybind11::module_& module);
/// Receipts, plans and ledgers.
void bind_records(pybind11::module_& module);

/// A file of a model, kept by everything that points into it.
using shared_file = std::shared_ptr<apps::open_model>;

} // namespace ovir::python
