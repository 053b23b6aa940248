#include "compute/kernels/two_terms.hpp"

namespace ovir::compute {

bool quantize_in_two(const kernel_set& kernels, const float* x, float* rest, quantized_batch& out,
                     std::uint32_t token) {
  if (!kernels.quantize(x, out, token)) {
    return false;
  }
  kernels.remainder(x, out, token, rest);
  return kernels.quantize(rest, out, out.tokens / 2 + token);
}

void add_second_terms(float* y, std::size_t tokens, std::size_t stride, std::size_t from,
                      std::size_t to) {
  const float* const second = y + tokens * stride;
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t i = t * stride + from; i < t * stride + to; ++i) {
      y[i] += second[i];
    }
  }
}

} // namespace ovir::compute
