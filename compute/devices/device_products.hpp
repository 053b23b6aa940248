#pragma once

#include "compute/devices/device.hpp"
#include "compute/tensor/tensor.hpp"
#include "messages/result.hpp"

#include <cstdint>

/// Products of weights with activations on a device, as compute/kernels has them on a processor.
namespace ovir::compute {

/// Where rows with a NaN or an infinity are noted: a u32 for each row, which the host fills with
/// ones, and what a step writes there for a row that fails in it. The least value stays.
struct device_failures {
  const device_memory* rows{nullptr};
  std::uint32_t where{0};
};

/// Activations as integers on a device: `quantized_batch`, but that `sum` holds m times the sum of
/// q over 32 elements.
struct device_batch {
  activation_form form{activation_form::a32};
  std::uint32_t cols{0};
  device_memory_ptr q;
  device_memory_ptr k;
  device_memory_ptr m;
  device_memory_ptr sum;
  device_memory_ptr u;

  /// Makes room for `rows` rows. `over_limit`. Precondition: whole blocks of the form.
  [[nodiscard]] result<void> reshape(device& d, activation_form f, std::uint32_t rows,
                                     std::uint32_t columns);
};

/// Rows [0, rows) of `x` [rows][batch.cols] become rows `to` and on of `batch`.
void quantize(device& d, const device_memory& x, std::uint32_t rows, const device_batch& batch,
              std::uint32_t to, device_failures failed);

/// What quantising `x` into rows [0, rows) of `batch` left of it goes to `rest` [rows][cols], and
/// quantised again to rows [rows, 2 rows).
void quantize_second_terms(device& d, const device_memory& x, std::uint32_t rows,
                           const device_batch& batch, const device_memory& rest,
                           device_failures failed);

/// A matrix of weights in a device's memory.
struct device_matrix {
  tensor_type type{tensor_type::f32};
  std::uint32_t rows{0};
  std::uint32_t cols{0};
  std::uint32_t panel_dwords{0}; ///< of sixteen rows
  device_memory_ptr panels;

  [[nodiscard]] activation_form form() const noexcept { return form_for(type); }
};

/// Whether a device multiplies by `w`. `unsupported` names what it lacks: sums of more than 64
/// bits, or too many columns.
[[nodiscard]] result<void> check_for_device(const weight& w);

/// Copies `w` to the device: in panels as the processors' kernels read them where its type has a
/// product on devices, else as rows of bytes. Precondition: `check_for_device`.
[[nodiscard]] result<device_matrix> upload(device& d, const weight& w);

/// y[t * w.rows + r] = row r of `w` times row t of `x`, t < tokens. `x` has the form of `w`.
void multiply(device& d, const device_matrix& w, const device_batch& x, std::uint32_t tokens,
              const device_memory& y);
/// The same for weights of floats, x [tokens][w.cols].
void multiply(device& d, const device_matrix& w, const device_memory& x, std::uint32_t tokens,
              const device_memory& y);

} // namespace ovir::compute
