#include "bindings/python/native.hpp"
#include "compute/gguf/gguf.hpp"
#include "compute/gguf/inspect.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "compute/tensor/tensor.hpp"
#include "messages/limits/bindings.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <type_traits>
#include <variant>

namespace py = pybind11;

namespace ovir::python {

namespace {

/// A tensor of a mapped file.
struct file_tensor {
  shared_file file;
  const compute::gguf_tensor* what{nullptr};
};

/// Types whose elements are numbers of the module struct, by GGUF's numbers.
struct plain_type {
  std::uint32_t raw_type;
  const char* format;
  py::ssize_t bytes;
};
constexpr std::array plain_types{
    plain_type{0, "f", 4},  plain_type{1, "e", 2},  plain_type{24, "b", 1}, plain_type{25, "h", 2},
    plain_type{26, "i", 4}, plain_type{27, "q", 8}, plain_type{28, "d", 8}};

/// Python's order: the row length last.
std::vector<py::ssize_t> shape_of(const compute::gguf_tensor& t) {
  std::vector<py::ssize_t> shape;
  for (std::uint32_t i = t.dims; i-- > 0;) {
    shape.push_back(static_cast<py::ssize_t>(t.shape[i]));
  }
  return shape;
}

std::string type_of(const compute::gguf_tensor& t) {
  const std::string_view name = compute::name_of_raw_type(t.raw_type);
  return name.empty() ? fmt::format("type {}", t.raw_type) : std::string{name};
}

memory_view bytes_of_tensor(const file_tensor& t) {
  return dense_view(t.file, t.what->data.data(), "B", 1,
                    {static_cast<py::ssize_t>(t.what->data.size())});
}

memory_view numbers_of_tensor(const file_tensor& t) {
  for (const plain_type& plain : plain_types) {
    if (plain.raw_type == t.what->raw_type) {
      return dense_view(t.file, t.what->data.data(), plain.format, plain.bytes, shape_of(*t.what));
    }
  }
  throw native_error{fail(errc::unsupported,
                          "{} is stored as {}, whose elements are not numbers of NumPy; use raw() "
                          "for its bytes, or decode() for a copy as float32",
                          t.what->name, type_of(*t.what))};
}

/// What the decoder of a block needs: scales that are numbers.
bool usable_scales(compute::tensor_type type, const std::byte* block) {
  if (type == compute::tensor_type::mxfp4) {
    return std::to_integer<std::uint8_t>(block[0]) <= compute::mxfp4_exponent_max;
  }
  const compute::block_scales scales = compute::scales_of(type, block);
  constexpr std::uint16_t exponent = 0x7C00U;
  return (scales.d & exponent) != exponent && (scales.dmin & exponent) != exponent;
}

result<std::shared_ptr<std::vector<float>>> decoded(const file_tensor& t, std::uint64_t first,
                                                    std::uint64_t count) {
  const compute::gguf_tensor& what = *t.what;
  const auto type = compute::tensor_type_from(what.raw_type);
  const std::uint64_t cols = what.shape[0];
  const std::uint64_t rows = compute::elements_of(what) / std::max<std::uint64_t>(cols, 1);
  if (!type) {
    return fail(errc::unsupported, "{} is stored as {}, which this build does not decode",
                what.name, type_of(what));
  }
  if (first > rows || count > rows - first) {
    return fail(errc::invalid_argument, "{} has {} rows; rows {} to {} were asked for", what.name,
                rows, first, first + count);
  }
  if (count * cols > limits::python_copy_bytes_max / sizeof(float) ||
      cols > std::numeric_limits<std::uint32_t>::max()) {
    return fail(errc::over_limit, "{} rows of {} decoded are more than {} bytes; take fewer rows",
                count, what.name, limits::python_copy_bytes_max);
  }
  compute::weight w;
  w.type = *type;
  w.rows = 1;
  w.cols = static_cast<std::uint32_t>(cols);
  const compute::tensor_layout layout = compute::layout_of(*type);
  auto out = std::make_shared<std::vector<float>>(count * cols);
  for (std::uint64_t row = 0; row < count; ++row) {
    w.data = what.data.data() + (first + row) * w.row_bytes();
    for (std::size_t at = 0; layout.block_elements > 1 && at < w.row_bytes();
         at += layout.block_bytes) {
      if (!usable_scales(*type, w.data + at)) {
        return fail(errc::malformed, "{}: a block of row {} has a scale that is no number",
                    what.name, first + row);
      }
    }
    compute::embed_row(w, 0, out->data() + row * cols);
  }
  return out;
}

memory_view decode_tensor(const file_tensor& t, std::uint64_t first,
                          std::optional<std::uint64_t> count) {
  const std::uint64_t cols = t.what->shape[0];
  const std::uint64_t rows = compute::elements_of(*t.what) / std::max<std::uint64_t>(cols, 1);
  const std::uint64_t wanted = count.value_or(rows - std::min(first, rows));
  std::shared_ptr<std::vector<float>> copy;
  {
    const py::gil_scoped_release apart;
    copy = unwrap(decoded(t, first, wanted));
  }
  const bool whole = first == 0 && wanted == rows;
  const float* const data = copy->data();
  auto shape = whole ? shape_of(*t.what)
                     : std::vector<py::ssize_t>{static_cast<py::ssize_t>(wanted),
                                                static_cast<py::ssize_t>(cols)};
  memory_view view = dense_view(std::move(copy), data, "f", 4, std::move(shape));
  view.writable = true;
  return view;
}

/// Files may hold any bytes.
py::object text_from(std::string_view text) {
  return py::reinterpret_steal<py::object>(
      PyUnicode_DecodeUTF8(text.data(), static_cast<py::ssize_t>(text.size()), "surrogateescape"));
}

py::object array_of(const compute::gguf_array& a) {
  py::list list;
  if (a.element == compute::gguf_type::string) {
    for (const std::string_view one : unwrap(compute::strings_of(a))) {
      list.append(text_from(one));
    }
  } else if (a.element == compute::gguf_type::f32) {
    for (const float one : unwrap(compute::floats_of(a))) {
      list.append(one);
    }
  } else {
    for (const std::int32_t one : unwrap(compute::integers_of(a))) {
      list.append(one);
    }
  }
  return list;
}

py::object value_of(const compute::gguf_value& value) {
  return std::visit(
      [](const auto& v) -> py::object {
        using kind = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<kind, compute::gguf_array>) {
          return array_of(v);
        } else if constexpr (std::is_same_v<kind, std::string_view>) {
          return text_from(v);
        } else {
          return py::cast(v);
        }
      },
      value);
}

py::object entry_of(const shared_file& file, const std::string& key) {
  const compute::gguf_entry* const found = file->metadata.find(key);
  if (found == nullptr) {
    throw native_error{fail(errc::not_found, "{} has no metadata {}", file->path, key)};
  }
  return value_of(found->value);
}

std::vector<std::string> keys_of(const shared_file& file) {
  std::vector<std::string> keys;
  for (const compute::gguf_entry& entry : file->metadata.entries()) {
    keys.emplace_back(entry.key);
  }
  return keys;
}

std::vector<file_tensor> tensors_of(const shared_file& file) {
  std::vector<file_tensor> all;
  for (const compute::gguf_tensor& one : file->metadata.tensors()) {
    all.push_back({file, &one});
  }
  return all;
}

file_tensor tensor_at(const shared_file& file, const std::string& name) {
  const compute::gguf_tensor* const found = file->metadata.find_tensor(name);
  if (found == nullptr) {
    throw native_error{fail(errc::not_found, "{} has no tensor {}", file->path, name)};
  }
  return {file, found};
}

shared_file open_file(const std::string& path) {
  const py::gil_scoped_release apart;
  return std::make_shared<apps::open_model>(unwrap(apps::open_model_at(machine(), path)));
}

void bind_views(py::module_& module) {
  py::class_<memory_view>(module, "View", py::buffer_protocol(),
                          "Memory that is seen without a copy: an object of the buffer protocol.")
      .def_buffer([](memory_view& v) {
        return py::buffer_info(const_cast<void*>(v.data), v.item_bytes, v.format,
                               static_cast<py::ssize_t>(v.shape.size()), v.shape, v.strides,
                               !v.writable);
      })
      .def_property_readonly("address",
                             [](const memory_view& v) {
                               return reinterpret_cast<std::uintptr_t>(v.data); // NOLINT
                             })
      .def_property_readonly("format", [](const memory_view& v) { return v.format; })
      .def_property_readonly("readonly", [](const memory_view& v) { return !v.writable; })
      .def_property_readonly("shape",
                             [](const memory_view& v) { return py::tuple(py::cast(v.shape)); });
}

} // namespace

void bind_files(py::module_& module) {
  bind_views(module);
  py::class_<file_tensor>(module, "Tensor", "A tensor of a mapped model file.")
      .def_property_readonly("name", [](const file_tensor& t) { return std::string{t.what->name}; })
      .def_property_readonly("type", [](const file_tensor& t) { return type_of(*t.what); })
      .def_property_readonly(
          "shape", [](const file_tensor& t) { return py::tuple(py::cast(shape_of(*t.what))); })
      .def_property_readonly("offset", [](const file_tensor& t) { return t.what->offset; })
      .def_property_readonly("nbytes", [](const file_tensor& t) { return t.what->data.size(); })
      .def("raw", &bytes_of_tensor)
      .def("view", &numbers_of_tensor)
      .def("decode", &decode_tensor, py::arg("first") = 0, py::arg("count") = py::none());
  py::class_<apps::open_model, std::shared_ptr<apps::open_model>>(
      module, "File", "A model file, mapped and parsed; its model need not be one that runs.")
      .def(py::init(&open_file), py::arg("path"))
      .def_property_readonly("path", [](const shared_file& f) { return f->path; })
      .def_property_readonly("nbytes", [](const shared_file& f) { return apps::bytes_of(*f); })
      .def("keys", &keys_of)
      .def("value", &entry_of, py::arg("key"))
      .def("tensors", &tensors_of)
      .def("tensor", &tensor_at, py::arg("name"))
      .def("digest", [](const shared_file& f) {
        const py::gil_scoped_release apart;
        return to_hex(apps::digest_of(*f));
      });
}

} // namespace ovir::python
