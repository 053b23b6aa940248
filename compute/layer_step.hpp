#pragma once

#include "compute/kernels.hpp"
#include "compute/kv_cache.hpp"
#include "compute/model.hpp"
#include "compute/parallel.hpp"
#include "compute/segment.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

/// One transformer layer over the positions of one step: the order of operations of exact-1,
/// section 5, and how they are spread over a runner. Results do not depend on the spreading.
namespace ovir::compute {

/// Which activation forms a group of products reads.
struct form_set {
  bool floats{false};
  bool a32{false};
  bool a256{false};
};

/// One weight of a group of products that share their input, and where its output goes:
/// [tokens][weight->rows].
struct product_group {
  const weight* matrix;
  float* output;
};

[[nodiscard]] form_set forms_of(std::span<const product_group> group);

/// The input of products: rows of floats, and their quantised forms as far as they are needed.
class activations {
public:
  void reshape(std::uint32_t tokens, std::uint32_t cols, form_set forms);
  [[nodiscard]] float* row(std::size_t token) noexcept { return floats_.data() + token * cols_; }
  [[nodiscard]] const float* row(std::size_t token) const noexcept {
    return floats_.data() + token * cols_;
  }
  /// Quantises row `token` into the needed forms. False when it holds a NaN or an infinity.
  [[nodiscard]] bool quantize(const kernel_set& kernels, std::size_t token);

  [[nodiscard]] std::uint32_t tokens() const noexcept { return tokens_; }
  [[nodiscard]] std::uint32_t cols() const noexcept { return cols_; }
  [[nodiscard]] const quantized_batch& a32() const noexcept { return a32_; }
  [[nodiscard]] const quantized_batch& a256() const noexcept { return a256_; }

private:
  std::vector<float> floats_; ///< [tokens][cols]
  std::uint32_t tokens_{0};
  std::uint32_t cols_{0};
  form_set forms_;
  quantized_batch a32_;
  quantized_batch a256_;
};

/// Every product of the group in one parallel region, split by output rows.
void multiply(const kernel_set& kernels, const activations& input,
              std::span<const product_group> group, parallel_runner& runner);

/// Calls `f(t)` for every token of a step; one token is not worth waking anybody.
/// `f` is passed by reference, because a std::function of it would allocate.
template <class F>
void for_tokens(std::size_t tokens, parallel_runner& runner, const F& f) {
  if (tokens == 1) {
    f(std::size_t{0});
  } else {
    runner.run(tokens, std::cref(f));
  }
}

/// Memory of a step, reused from layer to layer and step to step: nothing is allocated per token
/// once a request has reached its longest step.
struct step_scratch {
  activations hidden;          ///< input of q, k, v and of gate, up; normalised
  activations heads;           ///< attention's output, input of attn_output
  activations inner;           ///< input of ffn_down
  std::vector<float> q;        ///< [tokens][q_dim]
  std::vector<float> k;        ///< [tokens][kv_dim]
  std::vector<float> v;        ///< [tokens][kv_dim]
  std::vector<float> gate;     ///< [tokens][ffn_dim]
  std::vector<float> up;       ///< [tokens][ffn_dim]
  std::vector<float> residual; ///< [tokens][dim], what a block adds
  std::vector<float> scores;   ///< [parts][positions]
  std::vector<std::uint8_t> ok;
};

/// A view that binds one layer to one step. Lives on the stack of `segment::forward`.
class layer_step {
public:
  const model_config& config;
  const layer_weights& weights;
  layer_index layer;
  const kernel_set& kernels;
  const rope_table& rope;
  kv_cache& kv;
  position first;
  std::uint32_t count;
  step_scratch& scratch;

  /// Advances the residual stream x [count][dim] by this layer and writes K and V of positions
  /// [first, first + count). `nonfinite` names layer and position.
  [[nodiscard]] result<void> run(std::span<float> x, parallel_runner& runner) const;

private:
  [[nodiscard]] result<void> attention(std::span<float> x, parallel_runner& runner) const;
  [[nodiscard]] result<void> feed_forward(std::span<float> x, parallel_runner& runner) const;
  [[nodiscard]] bool store_keys_and_values(std::size_t token) const;
  void attend(parallel_runner& runner) const;
  [[nodiscard]] result<void> check(const char* where) const;
};

} // namespace ovir::compute
