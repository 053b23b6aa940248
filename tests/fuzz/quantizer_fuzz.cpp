// Floats of any bits, as rows to be quantised. The first byte picks the type; what is written must
// be what the checks at load accept, and a finite number wherever it is read.
#include "compute/kernels/reference/block_operations.hpp"
#include "compute/model/weight_bounds.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "compute/tensor/quantizer.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::compute;
  constexpr std::array types{tensor_type::f16,  tensor_type::q8_0, tensor_type::q4_0,
                             tensor_type::q5_0, tensor_type::q4_k, tensor_type::q6_k};
  if (size < 1) {
    return 0;
  }
  const tensor_type type = types[data[0] % types.size()];
  const tensor_layout layout = layout_of(type);
  const std::size_t block = layout.block_elements * sizeof(float);
  const std::size_t blocks = std::min<std::size_t>((size - 1 + block - 1) / block, 4);
  if (blocks == 0) {
    return 0;
  }
  std::vector<float> x(blocks * layout.block_elements); // zeros behind the end
  std::memcpy(x.data(), data + 1, std::min(size - 1, blocks * block));
  if (!all_finite(x)) {
    return 0; // refused before it comes here
  }
  std::vector<std::byte> out(blocks * layout.block_bytes);
  if (!quantize_row(type, x, out.data())) {
    return 0;
  }
  const weight w{
      .type = type, .rows = 1, .cols = static_cast<std::uint32_t>(x.size()), .data = out.data()};
  if (form_for(type) != activation_form::floats) {
    OVIR_CHECK(!bounds_of_rows(w, 0, 1).nonfinite, data[0]);
  }
  std::vector<float> y(x.size());
  embed_row(w, 0, y.data());
  OVIR_CHECK(all_finite(y), data[0]);
  return 0;
}
