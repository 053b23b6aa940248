#pragma once

#include "compute/base/parallel.hpp"
#include "compute/forward/segment.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/kernels/two_terms.hpp"
#include "compute/model/model_config.hpp"
#include "compute/model/transcript.hpp"
#include "messages/evidence/prepared.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <span>
#include <vector>

/// One unit from its inputs, with the integers of its products taken from somebody else: those who
/// reveal them compute them, those who check them read them. Everything in between (norms, RoPE,
/// attention, softmax, activation, residual) is computed here, by the kernels of the profile.
namespace ovir::compute {

[[nodiscard]] constexpr input_terms terms_of(unit_matrix which, activation_form form) noexcept {
  switch (which) {
  case unit_matrix::k: return key_terms(form);
  case unit_matrix::v: return value_terms(form);
  default: return input_terms::one;
  }
}

/// Where the integers come from, and what they are rounded to.
class integer_products {
public:
  virtual ~integer_products() = default;
  [[nodiscard]] virtual activation_form form_of(unit_matrix which) const = 0;
  /// `which` times the rows of `x`, [x.tokens][rows]: exact sums, rounded once. K and V are asked
  /// for behind each other, with the same `x` where form and terms are the same, and so are gate
  /// and up. `places`: which of the positions that the matrix is revealed for the rows are, in each
  /// term; empty where they are all.
  [[nodiscard]] virtual result<void> of(unit_matrix which, const quantized_batch& x,
                                        std::span<const position> places,
                                        std::vector<float>& y) = 0;
};

/// The floats of a unit's weights.
struct unit_floats {
  std::span<const float> attention_norm;    ///< [dim]
  std::span<const float> feed_forward_norm; ///< [dim]
  std::span<const float> output_norm;       ///< [dim]
  const rope_table* rope{nullptr};          ///< grown to the window's end
};

/// Where what depends on earlier positions is computed and compared with what was revealed. All
/// other places are taken as revealed.
struct unit_spots {
  const unit_between* revealed{nullptr};
  std::vector<position> earlier; ///< before the window, ascending: K and V
  /// Ascending: position in the window * kv heads + kv head: attention of the heads that share it.
  std::vector<std::uint32_t> attention;
};

struct unit_task {
  unit_name unit;
  std::uint32_t positions{0};  ///< up to the window's end, from position 0
  std::span<const float> rows; ///< boundary before the layer, [positions][dim]
  /// Positions a token was drawn from: [draws_first, draws_first + draws) in the window. Last layer
  /// only.
  position draws_first{0};
  std::uint32_t draws{0};
  /// Null: everything is computed and returned.
  const unit_spots* spots{nullptr};
  /// The boundary behind the layer is returned, too. Without spots `positions` may then go beyond
  /// the window: all windows from it on are computed together, and `output` is the first one's.
  bool keep_rows{false};
};

struct unit_result {
  digest output;             ///< as a statement has it: of the boundary, or of K and V
  std::vector<float> logits; ///< [draws][vocabulary]
  unit_between between;      ///< where the task has no spots
  /// Where the task keeps them, [positions from the window's first on][dim]. Empty where a unit
  /// ends with K and V, and of the model's last layer.
  std::vector<float> rows;
};

/// Memory of a walk for the next one: what it works in is megabytes, and fresh pages cost more than
/// what an auditor does with them.
class unit_scratch {
public:
  /// `n` floats of any value.
  [[nodiscard]] std::vector<float> take(std::size_t n);
  void give(std::vector<float>&& used);

  quantized_batch inputs; ///< of the current product

private:
  std::vector<std::vector<float>> free_;
};

/// `nonfinite`, `digest_mismatch` where something revealed is not what follows, or what `products`
/// refused. Precondition: sizes fit `config`, and those of the spots the task.
[[nodiscard]] result<unit_result> walk_unit(const model_config& config, const unit_floats& floats,
                                            const unit_task& task, const kernel_set& kernels,
                                            integer_products& products, parallel_runner& runner,
                                            unit_scratch& scratch);

} // namespace ovir::compute
