#include "compute/devices/device_products.hpp"

#include "compute/devices/kernel_source.hpp"
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/kernels/formats/unpacked_rows.hpp"
#include "messages/check.hpp"
#include "messages/limits/devices.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace ovir::compute {

namespace {

/// The kernels of a type: of one token, of a few, and of device_tokens_max.
struct product_kernels {
  tensor_type type;
  device_kernel one;
  device_kernel few;
  device_kernel many;
};

constexpr std::uint32_t few_tokens = 4;

constexpr std::array panel_products{
    product_kernels{tensor_type::q4_k, device_kernel::q4_k_1, device_kernel::q4_k_4,
                    device_kernel::q4_k_8},
    product_kernels{tensor_type::q5_k, device_kernel::q5_k_1, device_kernel::q5_k_4,
                    device_kernel::q5_k_8},
    product_kernels{tensor_type::q6_k, device_kernel::q6_k_1, device_kernel::q6_k_4,
                    device_kernel::q6_k_8},
    product_kernels{tensor_type::q8_0, device_kernel::q8_0_1, device_kernel::q8_0_4,
                    device_kernel::q8_0_8},
    product_kernels{tensor_type::q4_0, device_kernel::q4_0_1, device_kernel::q4_0_4,
                    device_kernel::q4_0_8},
    product_kernels{tensor_type::f16, device_kernel::f16_1, device_kernel::f16_8,
                    device_kernel::f16_8},
    product_kernels{tensor_type::bf16, device_kernel::bf16_1, device_kernel::bf16_8,
                    device_kernel::bf16_8},
    product_kernels{tensor_type::f32, device_kernel::f32_1, device_kernel::f32_8,
                    device_kernel::f32_8},
};

/// Null: rows of bytes.
const product_kernels* panel_product_of(tensor_type type) {
  const auto* const found = std::find_if(panel_products.begin(), panel_products.end(),
                                         [&](const product_kernels& p) { return p.type == type; });
  return found == panel_products.end() ? nullptr : found;
}

product_kernels kernels_of(tensor_type type) {
  if (const product_kernels* own = panel_product_of(type)) {
    return *own;
  }
  return form_for(type) == activation_form::a256
             ? product_kernels{type, device_kernel::rows_256_1, device_kernel::rows_256_4,
                               device_kernel::rows_256_8}
             : product_kernels{type, device_kernel::rows_32_1, device_kernel::rows_32_4,
                               device_kernel::rows_32_8};
}

/// The kernel for so many tokens, and its grid: tiles of tokens that share a panel are neighbours.
struct product_choice {
  device_kernel kernel;
  device_grid grid;
};

product_choice choose(const device_matrix& w, std::uint32_t tokens) {
  const product_kernels kernels = kernels_of(w.type);
  const std::uint32_t panels = groups_of(w.rows, packed_rows);
  if (tokens == 1) {
    return {kernels.one, {1, panels}};
  }
  const bool few = tokens <= few_tokens && kernels.few != kernels.many;
  return {few ? kernels.few : kernels.many,
          {groups_of(tokens, few ? few_tokens : device_tokens_max), panels}};
}

std::size_t device_panel_bytes(const weight& w) {
  return panel_product_of(w.type) != nullptr ? packed_panel_bytes(w.type, w.cols)
                                             : packed_rows * unpacked_row_bytes(w.type, w.cols);
}

void make_device_panel(const weight& w, std::uint32_t panel, std::byte* out) {
  if (panel_product_of(w.type) != nullptr) {
    pack_panel(w, panel, out);
    return;
  }
  const std::size_t row_bytes = unpacked_row_bytes(w.type, w.cols);
  std::fill_n(out, packed_rows * row_bytes, std::byte{0});
  for (std::uint32_t r = 0; r < packed_rows && panel * packed_rows + r < w.rows; ++r) {
    unpack_row(w.type, w.row(panel * packed_rows + r), w.cols, out + r * row_bytes);
  }
}

} // namespace

result<void> device_batch::reshape(device& d, activation_form f, std::uint32_t rows,
                                   std::uint32_t columns) {
  OVIR_CHECK(f != activation_form::floats);
  form = f;
  cols = columns;
  const std::size_t scale_block = f == activation_form::a256 ? 256 : 32;
  OVIR_CHECK(cols % scale_block == 0 && cols <= limits::device_columns_max, cols);
  OVIR_TRY(grow(d, q, std::size_t{rows} * cols));
  OVIR_TRY(grow(d, k, std::size_t{rows} * (cols / scale_block) * sizeof(std::int32_t)));
  OVIR_TRY(grow(d, m, std::size_t{rows} * (cols / 32) * sizeof(std::int32_t)));
  OVIR_TRY(grow(d, sum, std::size_t{rows} * (cols / 32) * sizeof(std::int32_t)));
  return grow(d, u, std::size_t{rows} * sizeof(float));
}

void quantize(device& d, const device_memory& x, std::uint32_t rows, const device_batch& batch,
              std::uint32_t to, device_failures failed) {
  const std::uint32_t is_256 = batch.form == activation_form::a256 ? 1 : 0;
  launch(d, device_kernel::quantize, {rows}, &x, batch.cols, is_256, to, batch.q.get(),
         batch.k.get(), batch.m.get(), batch.sum.get(), batch.u.get(), failed.rows, failed.where);
}

void quantize_second_terms(device& d, const device_memory& x, std::uint32_t rows,
                           const device_batch& batch, const device_memory& rest,
                           device_failures failed) {
  const std::uint32_t is_256 = batch.form == activation_form::a256 ? 1 : 0;
  launch(d, device_kernel::second_term, {groups_of(batch.cols / 4, 256), rows}, &x, batch.cols,
         is_256, batch.q.get(), batch.k.get(), batch.m.get(), batch.u.get(), &rest);
  quantize(d, rest, rows, batch, rows, failed);
}

result<void> check_for_device(const weight& w) {
  if (w.wide) {
    return fail(errc::unsupported,
                "a weight of type {} has rows whose sums need more than 64 bits, which devices do "
                "not compute",
                name_of(w.type));
  }
  if (form_for(w.type) != activation_form::floats && w.cols > limits::device_columns_max) {
    return fail(errc::unsupported, "a weight of {} columns; devices quantise at most {}", w.cols,
                limits::device_columns_max);
  }
  return {};
}

result<device_matrix> upload(device& d, const weight& w) {
  constexpr std::size_t chunk_bytes = std::size_t{8} << 20U; // copied at once
  weight source = w;
  source.group_rows = packed_rows; // of floats: a group of a device has all rows of a panel
  device_matrix out;
  out.type = w.type;
  out.rows = w.rows;
  out.cols = w.cols;
  const std::size_t panel_bytes = device_panel_bytes(w);
  const std::uint32_t panels = groups_of(w.rows, packed_rows);
  out.panel_dwords = static_cast<std::uint32_t>(panel_bytes / sizeof(std::uint32_t));
  OVIR_ASSIGN(out.panels, d.allocate(panels * panel_bytes));
  const auto at_once =
      static_cast<std::uint32_t>(std::clamp<std::size_t>(chunk_bytes / panel_bytes, 1, panels));
  std::vector<std::byte> chunk(at_once * panel_bytes);
  for (std::uint32_t first = 0; first < panels; first += at_once) {
    const std::uint32_t count = std::min(at_once, panels - first);
    for (std::uint32_t i = 0; i < count; ++i) {
      make_device_panel(source, first + i, chunk.data() + i * panel_bytes);
    }
    d.write(*out.panels, first * panel_bytes, std::span{chunk}.first(count * panel_bytes));
  }
  return out;
}

void multiply(device& d, const device_matrix& w, const device_batch& x, std::uint32_t tokens,
              const device_memory& y) {
  OVIR_CHECK(x.form == w.form() && x.cols == w.cols, x.cols, w.cols);
  const product_choice chosen = choose(w, tokens);
  launch(d, chosen.kernel, chosen.grid, w.panels.get(), w.panel_dwords, w.rows, w.cols, tokens,
         x.q.get(), x.k.get(), x.m.get(), x.sum.get(), x.u.get(), unit_of_products(w.type), &y,
         w.rows);
}

void multiply(device& d, const device_matrix& w, const device_memory& x, std::uint32_t tokens,
              const device_memory& y) {
  OVIR_CHECK(w.form() == activation_form::floats);
  const product_choice chosen = choose(w, tokens);
  launch(d, chosen.kernel, chosen.grid, w.panels.get(), w.panel_dwords, w.rows, w.cols, tokens, &x,
         &y, w.rows);
}

} // namespace ovir::compute
