#pragma once

#include "compute/forward/segment.hpp"
#include "compute/model/model.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

/// The profile `fast`: weights back to binary32, and matrix products by whatever library is handed
/// in. Not reproducible: the library sums in the order that suits its processor and its threads.
/// K and V stay binary32, activations are not quantised; nothing of exact-1's kernels is used.
namespace ovir::compute {

/// c [m][n] = a [m][k] times the transpose of b [n][k]; rows begin every lda, ldb, ldc elements.
struct float_product_task {
  std::uint32_t m;
  std::uint32_t n;
  std::uint32_t k;
  const float* a;
  std::size_t lda;
  const float* b;
  std::size_t ldb;
  float* c;
  std::size_t ldc;
};
using float_product = std::function<void(const float_product_task&)>;

inline constexpr std::string_view fast_profile_name = "fast";

/// A model and one sequence of tokens in the profile `fast`. Not thread-safe. The model's file must
/// outlive it.
class dense_sequence {
public:
  /// `over_limit` beyond the model's context.
  [[nodiscard]] static result<dense_sequence> make(const model& m, float_product product,
                                                   std::uint32_t positions);
  /// Computes the next tokens. Appends each layer's boundary to `boundaries[layer]`, [.][dim] (the
  /// vector is made as long as the model is deep), and replaces `logits` by those of the last
  /// token. `malformed` for a token outside the vocabulary or one too many, `nonfinite`.
  [[nodiscard]] result<void> append(std::span<const token_id> tokens,
                                    std::vector<std::vector<float>>& boundaries,
                                    std::vector<float>& logits);
  [[nodiscard]] position length() const noexcept { return length_; }

private:
  dense_sequence(const model& m, float_product product, std::uint32_t positions);
  void multiply(const weight& w, const float* x, std::uint32_t tokens, std::vector<float>& y);
  void attend(layer_index layer, std::uint32_t tokens);
  void run_layer(layer_index layer, std::uint32_t tokens, std::vector<float>& x);

  const model* model_;
  float_product product_;
  rope_table rope_;
  std::uint32_t capacity_;
  position length_{0};
  std::vector<std::vector<float>> keys_;   ///< per layer [capacity][kv_dim]
  std::vector<std::vector<float>> values_; ///< per layer [kv_dim][capacity]
  std::vector<float> matrix_, normal_, q_, k_, v_, heads_, gate_, up_, sum_, scores_;
};

/// How far two computations of the same rows are apart: |a - b| / |b| over all of them. Infinite
/// where one is not finite. 0 for two of zeros.
[[nodiscard]] double relative_distance(std::span<const float> a, std::span<const float> b);

} // namespace ovir::compute
