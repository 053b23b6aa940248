#pragma once

#include "compute/base/grain_shares.hpp"
#include "compute/base/parallel.hpp"
#include "compute/forward/kv_cache.hpp"
#include "compute/forward/products.hpp"
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
#include <string_view>
#include <vector>

/// One transformer layer over the rows of one pass: the order of operations of exact-1, section 5,
/// and how they are spread over a runner. A row is one position of one session. Results depend
/// neither on the spreading nor on the other sessions of the pass.
namespace ovir::compute {

/// What one session has in a pass: its rows [row, row + count) are its positions
/// [first, first + count).
struct session_rows {
  kv_cache* kv;
  position first;
  std::uint32_t count;
  std::uint32_t row;
  /// Why the session does not go on. Its rows compute nothing from then on.
  std::optional<error> failed{};
  const lora_weights* lora{nullptr}; ///< its adapter, of the same model's shape; null: none
};

/// Places in a layer where a row can turn out not to be finite, in the order in which they are
/// looked at.
inline constexpr std::array<std::string_view, 6> layer_places{
    "in the attention input",    "in a key or value",         "in the attention output",
    "in the feed-forward input", "in the feed-forward block", "at the end"};

/// What a session fails with whose row at position `p` was not finite in `where` of a layer.
[[nodiscard]] error nonfinite_in(std::string_view where, layer_index layer, position p);

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
  std::vector<float> lora;               ///< of pairs: A x
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

  // The pieces of a layer with a dense feed-forward block, in the order in which `run` calls them:
  // for those who have a part of its matrices and exchange what stands between them
  // (compute/parts). Each that is a bool is false when no session is left.

  /// The block's input, normed and quantised: `scratch.hidden`.
  [[nodiscard]] bool read_attention(std::span<float> x, parallel_runner& runner) const;
  /// `scratch.q`, `k` and `v` as the weights make them.
  void multiply_attention(parallel_runner& runner) const;
  /// Biases, norms and rotation of these, and K and V to the caches. `scratch.ok` becomes 0 for
  /// rows that fp16 cannot hold; nothing is checked.
  void store_keys_and_values(parallel_runner& runner) const;
  /// `scratch.heads`, which has the rows' shape. Rows that are not `ok` are left as they are.
  void attend(parallel_runner& runner) const;
  /// `scratch.residual` added to the stream, then as `read_attention`.
  [[nodiscard]] bool read_feed_forward(std::span<float> x, parallel_runner& runner) const;
  /// The rows of `scratch.inner`, which has their shape.
  void multiply_feed_forward(parallel_runner& runner) const;
  /// `scratch.residual` added to the stream.
  [[nodiscard]] bool finish(std::span<float> x, parallel_runner& runner) const;

  // Of a layer with experts, in place of `read_feed_forward` and `multiply_feed_forward`:

  /// The block's input, which experts each row goes to, and the products that all rows need: of a
  /// shared expert, `scratch.gate` and `up`.
  [[nodiscard]] bool read_mixture(std::span<float> x, parallel_runner& runner) const;
  /// Calls `some(first, last)` for experts [first, last) that are computed together, in order,
  /// until one is false.
  [[nodiscard]] bool
  each_expert_group(const std::function<bool(std::uint32_t, std::uint32_t)>& some) const;
  /// Those of [first, last) that rows go to: `scratch.experts.group`. Returns their seats.
  std::size_t seat_experts(std::uint32_t first, std::uint32_t last) const;

  /// Quantises a row of activations. One that is not finite is zeros from then on, and not `ok`.
  void quantize(activations& a, std::size_t row) const;
  /// Fails the sessions of which a row is not `ok`.
  [[nodiscard]] bool check(std::string_view where) const;

private:
  [[nodiscard]] std::array<product_group, 3> queries_keys_values() const;
  [[nodiscard]] std::array<product_group, 2> gate_and_up() const;
  [[nodiscard]] bool attention(std::span<float> x, parallel_runner& runner) const;
  [[nodiscard]] bool feed_forward(std::span<float> x, parallel_runner& runner) const;
  // Mixtures of experts
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
  [[nodiscard]] bool store_row(std::size_t row) const;
};

} // namespace ovir::compute
