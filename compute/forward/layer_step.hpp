#pragma once

#include "compute/base/grain_shares.hpp"
#include "compute/base/parallel.hpp"
#include "compute/forward/kv_cache.hpp"
#include "compute/forward/segment.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/kernels/reference/block_operations.hpp"
#include "compute/kernels/two_terms.hpp"
#include "compute/model/model.hpp"
#include "messages/result.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

/// One transformer layer over the rows of one pass: the order of operations of exact-1, section 5,
/// and how they are spread over a runner. A row is one position of one session. Results depend
/// neither on the spreading nor on the other sessions of the pass.
namespace ovir::compute {

/// Which activation forms a group of products reads.
struct form_set {
  bool floats{false};
  bool a32{false};
  bool a256{false};
  bool a32_two{false}; ///< two terms
  bool a256_two{false};
};

/// One weight of a group of products that share their input, and where its output goes:
/// [tokens][weight->rows], with room for as many rows again where there are two terms.
struct product_group {
  const weight* matrix;
  float* output;
  input_terms terms{input_terms::one};
};

[[nodiscard]] form_set forms_of(std::span<const product_group> group);

/// The input of products: rows of floats, and their quantised forms as far as they are needed.
class activations {
public:
  activations() = default;
  activations(const activations&) = delete; // `rows_` points into its own
  activations& operator=(const activations&) = delete;
  activations(activations&&) = default;
  activations& operator=(activations&&) = default;
  ~activations() = default;

  void reshape(std::uint32_t tokens, std::uint32_t cols, form_set forms);
  [[nodiscard]] float* row(std::size_t token) noexcept { return rows_ + token * cols_; }
  [[nodiscard]] const float* row(std::size_t token) const noexcept { return rows_ + token * cols_; }
  /// Takes rows `which` of `from`, quantised already, in the forms that are needed of them.
  void gather(const activations& from, std::span<const std::uint32_t> which, form_set forms);
  /// Quantises row `token` into the needed forms. False when it holds a NaN or an infinity.
  [[nodiscard]] bool quantize(const kernel_set& kernels, std::size_t token);

  [[nodiscard]] std::uint32_t tokens() const noexcept { return tokens_; }
  [[nodiscard]] std::uint32_t cols() const noexcept { return cols_; }
  /// [terms * tokens][cols]: all first terms, then all second ones.
  [[nodiscard]] const quantized_batch& a32(input_terms terms) const noexcept {
    return terms == input_terms::one ? a32_ : a32_two_;
  }
  [[nodiscard]] const quantized_batch& a256(input_terms terms) const noexcept {
    return terms == input_terms::one ? a256_ : a256_two_;
  }

private:
  /// Makes room for so many floats from the beginning of a cache line on: a load of sixteen that
  /// crosses two of them takes twice as long.
  void grow_rows(std::size_t floats);

  std::vector<float> floats_;
  float* rows_{nullptr};          ///< [tokens][cols], in `floats_`
  std::vector<float> remainders_; ///< [tokens][cols], where anything takes two terms
  std::uint32_t tokens_{0};
  std::uint32_t cols_{0};
  form_set forms_;
  quantized_batch a32_;
  quantized_batch a256_;
  quantized_batch a32_two_;
  quantized_batch a256_two_;
};

/// Every product of the group in one parallel region, split by output rows.
void multiply(const kernel_set& kernels, const activations& input,
              std::span<const product_group> group, parallel_runner& runner);

/// The same of matrices that have equally many rows. A thread takes the same rows of each, and
/// calls `done(first, last)` once it has computed these, while what it put out is in its own
/// caches. Of one token there is little, and longer runs of weights are read faster: `done` is
/// called once.
void multiply_alike(const kernel_set& kernels, const activations& input,
                    std::span<const product_group> group, parallel_runner& runner,
                    const std::function<void(std::uint32_t, std::uint32_t)>& done);

/// A product with an input of its own.
struct single_product {
  const activations* input;
  const weight* matrix;
  float* output; ///< as that of a `product_group`
  input_terms terms{input_terms::one};
};

/// Every product in one parallel region, split so that parts cost about the same.
void multiply_each(const kernel_set& kernels, std::span<const single_product> products,
                   parallel_runner& runner);

/// What one session has in a pass: its rows [row, row + count) are its positions
/// [first, first + count).
struct session_rows {
  kv_cache* kv;
  position first;
  std::uint32_t count;
  std::uint32_t row;
  /// Why the session does not go on. Its rows compute nothing from then on.
  std::optional<error> failed{};
};

/// Calls `f(t)` for every row of a pass; one row is not worth waking anybody. A thread takes the
/// same rows each time, as long as none is late: what it wrote last is in its own caches.
/// Functions are passed by reference, because a std::function of them would allocate.
template <class F>
void for_tokens(std::size_t tokens, parallel_runner& runner, const F& f) {
  if (tokens == 1) {
    f(std::size_t{0});
    return;
  }
  const std::size_t parts = std::min(runner.width(), tokens);
  grain_shares shares{static_cast<std::uint32_t>(tokens), parts};
  const auto some_tokens = [&](std::size_t part) {
    for (grain_run run = shares.take(part); !run.empty(); run = shares.take(part)) {
      for (std::size_t t = run.first; t < run.last; ++t) {
        f(t);
      }
    }
  };
  runner.run(parts, std::cref(some_tokens));
}

/// An expert of a group, and the seats of its rows, counted from the group's first.
struct seated_expert {
  std::uint32_t expert;
  std::uint32_t first;
  std::uint32_t rows;
};

/// The part of a pass's memory that mixtures of experts need. A seat is a place for one row of one
/// expert: those of an expert are neighbours, in the order of rows.
struct expert_scratch {
  std::vector<float> logits;             ///< [rows][experts]
  std::vector<float> shared_logit;       ///< [rows]
  std::vector<float> shared;             ///< [rows][dim], output of the shared expert
  std::vector<chosen_expert> chosen;     ///< [rows][used], ascending by expert
  std::vector<std::uint32_t> seat_of;    ///< [rows][used]
  std::vector<std::uint32_t> first_seat; ///< [experts + 1]
  std::vector<std::uint32_t> row_of;     ///< [seats]
  std::vector<std::uint8_t> ok;          ///< [seats of a group]
  std::vector<float> gate;               ///< [seats of a group][expert_ffn_dim]
  std::vector<float> up;                 ///< [seats of a group][expert_ffn_dim]
  std::vector<float> output;             ///< [seats of a group][dim]
  std::vector<activations> inputs;       ///< of the experts of a group, that with most rows first
  std::vector<activations> inner;
  std::vector<seated_expert> group;
  std::vector<single_product> products;
};

/// At least `n` elements; memory only ever grows.
template <class T>
T* grown(std::vector<T>& v, std::size_t n) {
  if (v.size() < n) {
    v.resize(n);
  }
  return v.data();
}

/// Memory of a pass, reused from layer to layer and pass to pass: nothing of it is allocated anew
/// once the longest pass was seen.
struct step_scratch {
  activations hidden;                    ///< input of q, k, v and of gate, up; normalised
  activations heads;                     ///< attention's output, input of attn_output
  activations inner;                     ///< input of ffn_down
  std::vector<float> q;                  ///< [tokens][q_dim]
  std::vector<float> k;                  ///< [two terms][tokens][kv_dim]
  std::vector<float> v;                  ///< likewise
  std::vector<float> gate;               ///< [tokens][ffn_dim]
  std::vector<float> up;                 ///< [tokens][ffn_dim]
  std::vector<float> residual;           ///< [tokens][dim], what a block adds
  std::vector<float> scores;             ///< [parts][positions]
  expert_scratch experts;                ///< of layers that have some
  std::vector<std::uint32_t> session_of; ///< [rows] index of the row's session
  std::vector<std::uint8_t> ok; ///< [rows] false once a value was not finite, or its session failed
};

/// A view that binds one layer to one pass. Lives on the stack of `segment::forward`.
class layer_step {
public:
  const model_config& config;
  const layer_weights& weights;
  layer_index layer;
  layer_kind kind;
  const kernel_set& kernels;
  const rope_table& rope;
  std::span<session_rows> sessions; ///< of which `scratch` has `session_of` and `ok`
  std::uint32_t rows;
  step_scratch& scratch;
  /// Called once for each session, by any thread, while the stream is still as it came: what is to
  /// be done with the layer before's output needs no region of its own.
  const std::function<void(std::size_t)>* with_input{nullptr};

  /// Advances the residual stream x [rows][dim] by this layer and writes K and V of the rows'
  /// positions. A session in which a value is not finite fails with `nonfinite`, which names layer
  /// and position, and changes nothing for the others. False when none is left.
  [[nodiscard]] bool run(std::span<float> x, parallel_runner& runner) const;

private:
  [[nodiscard]] bool attention(std::span<float> x, parallel_runner& runner) const;
  [[nodiscard]] bool feed_forward(std::span<float> x, parallel_runner& runner) const;
  // Mixtures of experts (layer_step_experts.cpp).
  [[nodiscard]] bool mixture(std::span<float> x, parallel_runner& runner) const;
  [[nodiscard]] bool route(parallel_runner& runner) const;
  [[nodiscard]] bool shared_expert(parallel_runner& runner) const;
  void gather_experts(std::uint32_t first, std::uint32_t last, parallel_runner& runner) const;
  void gate_experts(std::size_t seats, parallel_runner& runner) const;
  [[nodiscard]] bool run_experts(std::uint32_t first, std::uint32_t last,
                                 parallel_runner& runner) const;
  void read_block_input(const float* x, const weight& norm, std::size_t row) const;
  [[nodiscard]] bool add_block_output(float* x, const weight& norm, std::size_t row) const;
  [[nodiscard]] bool finish_queries_and_keys(std::size_t row) const;
  [[nodiscard]] bool store_keys_and_values(std::size_t row) const;
  void quantize(activations& a, std::size_t row) const;
  void attend(parallel_runner& runner) const;
  [[nodiscard]] bool check(const char* where) const;
};

} // namespace ovir::compute
