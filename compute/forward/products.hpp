#pragma once

#include "compute/base/parallel.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/kernels/reference/block_operations.hpp"
#include "compute/kernels/two_terms.hpp"
#include "compute/model/model.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

/// Products of weights with the rows of a pass, and how they are spread over a runner. No bit
/// depends on the spreading.
namespace ovir::compute {

/// At least `n` elements; memory only ever grows.
template <class T>
T* grown(std::vector<T>& v, std::size_t n) {
  if (v.size() < n) {
    v.resize(n);
  }
  return v.data();
}

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

  /// For rows that come quantised from elsewhere, in one term. Precondition: a form of `reshape`.
  [[nodiscard]] quantized_batch& integers(activation_form form) noexcept {
    return form == activation_form::a32 ? a32_ : a256_;
  }

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

} // namespace ovir::compute
