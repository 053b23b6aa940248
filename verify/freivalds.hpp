#pragma once

#include "compute/base/parallel.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "messages/evidence/prepared.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

/// Freivalds' check of integer products over the field of p = 2^61 - 1: with a secret r and r W
/// prepared, r (W x) is compared with (r W) x, so a product costs the auditor two scalar products.
/// Several tokens are weighed by secret numbers and checked together.
namespace ovir::compute {

inline constexpr std::uint64_t field_prime = (std::uint64_t{1} << 61U) - 1;

/// Fills with what nobody can guess.
using secret_source = std::function<void(std::span<std::byte>)>;

/// Draws r and computes r W. `unsupported` for weights that are floats, or whose sums may be too
/// large for the field (ARITHMETIC: these are checked by replay only); `name` is for the sentence.
[[nodiscard]] result<prepared_matrix> prepare_matrix(const weight& w, std::string_view name,
                                                     const secret_source& secrets);

/// Everything that T1 needs of a model, for an auditor's eyes only. Precondition: `m` passed
/// `check_weights` over all layers. `name` is the digest of its manifest.
[[nodiscard]] result<prepared_model> prepare_model_check(const model& m, const digest& name,
                                                         const secret_source& secrets,
                                                         parallel_runner& runner);

/// The shape of the prepared model.
[[nodiscard]] model_config config_of(const prepared_model& m);
[[nodiscard]] activation_form form_of(const prepared_matrix& m) noexcept;

/// What is wrong with revealed integers.
enum class product_fault : std::uint8_t { none, out_of_bounds, not_the_product };

/// Activations weighed by secret numbers, at most `weighed_tokens_max` tokens together: what the
/// matrices that share an input share of their checks.
class weighed_inputs {
public:
  /// `weigh`: a number that nobody else knows for each token. `x` must outlive this.
  weighed_inputs(const quantized_batch& x, std::span<const std::uint64_t> weigh);
  [[nodiscard]] const quantized_batch& inputs() const noexcept { return *x_; }
  [[nodiscard]] std::span<const std::int64_t> weights() const noexcept { return weights_; }
  /// Sum of weight times input over the tokens of a group, [cols].
  [[nodiscard]] std::span<const std::int64_t> group(std::size_t index) const noexcept {
    return std::span{sums_}.subspan(index * x_->cols, x_->cols);
  }

private:
  const quantized_batch* x_;
  std::vector<std::int64_t> weights_;
  std::vector<std::int64_t> sums_;
};

/// Whether `sums` [tokens][rows] are the exact products with `x`. An honest product always passes;
/// another passes with a probability below 2^-27. `rounded`, of the same size or empty, becomes
/// what the profile rounds them to; unspecified where a fault is found. Precondition: the inputs
/// have `m.cols` columns in the matrix's form, `sums` the right size.
[[nodiscard]] product_fault check_product(const prepared_matrix& m, const weighed_inputs& x,
                                          std::span<const std::int64_t> sums,
                                          std::span<float> rounded = {});

/// Rounds `sums` [x.tokens][rows] once each, as exact-1 does.
void round_sums(std::span<const std::int64_t> sums, const quantized_batch& x,
                std::span<float> rounded, parallel_runner& runner);

/// S of rows of `w` times every token of `x`: [tokens][w.rows], exact. What a worker reveals.
/// Precondition: a quantised type that is not wide.
void integer_product(const weight& w, const quantized_batch& x, std::span<std::int64_t> sums,
                     parallel_runner& runner);

} // namespace ovir::compute
