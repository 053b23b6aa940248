#pragma once

#include "compute/kernels.hpp"
#include "compute/model_config.hpp"
#include "compute/parallel.hpp"
#include "compute/transcript.hpp"
#include "messages/prepared.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <span>
#include <vector>

/// One unit from its inputs, with the integers of its products taken from somebody else: those who
/// reveal them compute them, those who check them read them. Everything in between (norms, RoPE,
/// attention, softmax, activation, residual) is computed here, by the kernels of the profile.
namespace ovir::compute {

/// Where the integers come from.
class integer_products {
public:
  virtual ~integer_products() = default;
  [[nodiscard]] virtual activation_form form_of(unit_matrix which) const = 0;
  /// S of `which` times the rows of `x`, [x.tokens][rows], unrounded. Valid until the next call.
  /// K and V are asked for behind each other with the same `x`, and so are gate and up.
  [[nodiscard]] virtual result<std::span<const std::int64_t>> of(unit_matrix which,
                                                                 const quantized_batch& x) = 0;
};

/// The floats of a unit's weights.
struct unit_floats {
  std::span<const float> attention_norm;    ///< [dim]
  std::span<const float> feed_forward_norm; ///< [dim]
  std::span<const float> output_norm;       ///< [dim]
  std::span<const float> rope_factors;      ///< [rope_dim / 2], or none
};

struct unit_task {
  unit_name unit;
  std::uint32_t positions{0};  ///< up to the window's end, from position 0
  std::span<const float> rows; ///< boundary before the layer, [positions][dim]
  /// Positions a token was drawn from: [draws_first, draws_first + draws) in the window. Last layer
  /// only.
  position draws_first{0};
  std::uint32_t draws{0};
};

struct unit_result {
  digest output;             ///< as a statement has it: of the boundary, or of K and V
  std::vector<float> logits; ///< [draws][vocabulary]
};

/// `nonfinite`, or what `products` refused. Precondition: sizes fit `config`.
[[nodiscard]] result<unit_result> walk_unit(const model_config& config, const unit_floats& floats,
                                            const unit_task& task, const kernel_set& kernels,
                                            integer_products& products, parallel_runner& runner);

} // namespace ovir::compute
