#pragma once

#include "compute/kernels/kernels.hpp"

#include <cstddef>
#include <cstdint>

/// Products of inputs in two terms (docs/formats/exact-1.md): a vector is quantised, what that left
/// of it is quantised again, and y is the sum of both products, each rounded once. Keys are
/// computed so, and values by weights in superblocks (docs/adr/0001-arithmetic.md).
namespace ovir::compute {

/// How many quantised vectors an input becomes.
enum class input_terms : std::uint8_t { one = 1, two = 2 };

/// By weights that take activations in `form`. Floats take them as they are.
[[nodiscard]] constexpr input_terms key_terms(activation_form form) noexcept {
  return form == activation_form::floats ? input_terms::one : input_terms::two;
}
[[nodiscard]] constexpr input_terms value_terms(activation_form form) noexcept {
  return form == activation_form::a256 ? input_terms::two : input_terms::one;
}

/// Quantises `x[0..out.cols)`, of token `token` of `out.tokens / 2`, into the rows of its first and
/// its second term: all first terms lie before all second ones. `rest` is scratch for as many
/// elements. False when x holds a NaN or an infinity.
[[nodiscard]] bool quantize_in_two(const kernel_set& kernels, const float* x, float* rest,
                                   quantized_batch& out, std::uint32_t token);

/// y_t = fl(y_t + y_(tokens + t)), t < tokens, in columns [from, to) of rows `stride` apart.
void add_second_terms(float* y, std::size_t tokens, std::size_t stride, std::size_t from,
                      std::size_t to);

} // namespace ovir::compute
