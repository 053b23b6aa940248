#pragma once

#include <cstddef>
#include <cstdint>

/// The arithmetic of learn-1, one function pointer per operation (docs/formats/learn-1.md). The
/// reference set is the specification; every other set equals it bit for bit. Plain structs alone:
/// files compiled for AVX2 and AVX-512 include this (docs/adr/0002-kernels.md).
namespace ovir::learning {

/// Terms of one chunk of a chunked sum.
inline constexpr std::uint32_t chunk_terms = 256;

/// out[m][n] = fl(out[m][n] + c), c the chain of fma of a[m][j] * b[j][n] from +0 in ascending j.
struct chunk_product {
  const float* a{nullptr}; ///< element (m, j) is a[m * a_row + j * a_term]
  std::size_t a_row{0};
  std::size_t a_term{1};
  const float* b{nullptr}; ///< element (j, n) is b[j * b_row + n]
  std::size_t b_row{0};
  float* out{nullptr}; ///< element (m, n) is out[m * out_row + n]
  std::size_t out_row{0};
  std::uint32_t rows{0};
  std::uint32_t terms{0}; ///< at most `chunk_terms`
  std::uint32_t cols{0};
};

/// What a softmax was made of.
struct softmax_sums {
  float most;  ///< the highest of its inputs, once scaled
  float total; ///< of exp(x - most)
};

/// One implementation. All functions are pure and need round-to-nearest with subnormals kept.
struct learn_kernels {
  void (*add_chunk)(const chunk_product& p);

  /// y_i = fma(factor, z_i, y_i).
  void (*add_scaled)(float* y, const float* z, float factor, std::uint32_t n);

  /// x_i = exp(fl(x_i * scale) - most) / total. An input of minus infinity becomes +0.
  softmax_sums (*softmax)(float* x, std::uint32_t n, float scale);

  /// d_i = fl(fl(p_i * fl(d_i - s)) * scale), s the striped sum of p * d.
  void (*softmax_back)(const float* p, float* d, std::uint32_t n, float scale);

  /// The gradient of `compute::kernel_set::rms_norm`'s input. `out` may be `dy`.
  void (*norm_back)(const float* x, const float* w, const float* dy, std::uint32_t n, float epsilon,
                    float* out);

  /// The gradients of gate and up of fl(silu(gate) * up). `d_gate` and `d_up` may be `gate`, `up`.
  void (*gate_back)(const float* gate, const float* up, const float* d, std::uint32_t n,
                    float* d_gate, float* d_up);
};

[[nodiscard]] const learn_kernels& kernels_reference() noexcept;

} // namespace ovir::learning

namespace ovir::learning::avx2 {
/// Null where this build has none (another processor family).
[[nodiscard]] const learn_kernels* kernels() noexcept;
} // namespace ovir::learning::avx2

namespace ovir::learning::avx512 {
[[nodiscard]] const learn_kernels* kernels() noexcept;
} // namespace ovir::learning::avx512
