// The bytes of quantised weights, which a file may fill with anything. The first byte picks the
// type and the number of columns, the rest are rows: they are checked, decoded, unpacked and
// multiplied, and every kernel set must give what the reference gives.
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/weight_bounds.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace {

using namespace ovir::compute;

constexpr std::array types{tensor_type::q8_0,    tensor_type::q4_0,   tensor_type::q4_1,
                           tensor_type::q5_0,    tensor_type::q5_1,   tensor_type::iq4_nl,
                           tensor_type::q2_k,    tensor_type::q3_k,   tensor_type::q4_k,
                           tensor_type::q5_k,    tensor_type::q6_k,   tensor_type::iq4_xs,
                           tensor_type::iq2_xxs, tensor_type::iq2_xs, tensor_type::iq2_s,
                           tensor_type::iq3_xxs, tensor_type::iq3_s,  tensor_type::mxfp4};

/// Activations that are a function of the place alone.
quantized_batch batch_of(tensor_type type, std::uint32_t cols) {
  quantized_batch x;
  x.reshape(form_for(type), 2, cols);
  std::vector<float> row(cols);
  for (std::uint32_t t = 0; t < 2; ++t) {
    for (std::uint32_t i = 0; i < cols; ++i) {
      row[i] = static_cast<float>(static_cast<int>((i * 37 + t * 11) % 255) - 127);
    }
    OVIR_CHECK(kernels_reference().quantize(row.data(), x, t));
  }
  return x;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) {
    return 0;
  }
  const tensor_type type = types[data[0] % types.size()];
  const tensor_layout layout = layout_of(type);
  const auto blocks = static_cast<std::uint32_t>(1 + data[0] / types.size() % 3);
  const std::size_t row_bytes = std::size_t{layout.block_bytes} * blocks;
  const std::size_t rows = std::min<std::size_t>((size - 1) / row_bytes, 40);
  if (rows == 0) {
    return 0;
  }
  std::vector<std::uint16_t> aligned((rows * row_bytes + 1) / 2);
  std::memcpy(aligned.data(), data + 1, rows * row_bytes);
  weight w{.type = type,
           .rows = static_cast<std::uint32_t>(rows),
           .cols = layout.block_elements * blocks,
           .data = reinterpret_cast<const std::byte*>(aligned.data())};
  const row_bounds bounds = bounds_of_rows(w, 0, w.rows);
  if (bounds.nonfinite) {
    OVIR_CHECK(*bounds.nonfinite < w.rows);
    return 0;
  }
  w.wide = bounds.wide;
  std::vector<float> values(w.cols);
  embed_row(w, w.rows - 1, values.data());
  const quantized_batch x = batch_of(type, w.cols);
  std::vector<float> wanted(2 * rows);
  kernels_reference().product(w, 0, w.rows, x, wanted.data(), rows, nullptr);
  std::vector<std::byte> packed(w.wide ? 0 : packed_bytes(w));
  for (std::uint32_t panel = 0; !w.wide && panel * packed_rows < w.rows; ++panel) {
    pack_panel(w, panel, packed.data() + panel * packed_panel_bytes(type, w.cols));
  }
  static const std::vector<const kernel_set*> sets = fast_kernels_here();
  for (const kernel_set* const set : sets) {
    for (const bool from_file : {true, false}) {
      w.packed = from_file || w.wide ? nullptr : packed.data();
      std::vector<float> got(2 * rows);
      set->product(w, 0, w.rows, x, got.data(), rows, nullptr);
      OVIR_CHECK(std::memcmp(got.data(), wanted.data(), got.size() * sizeof(float)) == 0, data[0]);
    }
  }
  return 0;
}
