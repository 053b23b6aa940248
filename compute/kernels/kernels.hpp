#pragma once

#include "compute/tensor/tensor.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

/// The arithmetic of exact-1, one function pointer per operation. `kernels_reference` is the
/// specification; every other set equals it bit for bit (docs/formats/exact-1.md).
namespace ovir::compute {

/// Activations of `tokens` rows quantised for integer products (exact-1, section 3). The value of
/// element i of row t is q * m * k * u with q = q[t][i], m = m[t][i / 32] (1 for A32),
/// k = k[t][i / 32] (A32) or k[t][i / 256] (A256), u = u[t].
struct quantized_batch {
  activation_form form{activation_form::a32};
  std::uint32_t tokens{0};
  std::uint32_t cols{0};         ///< row length; a multiple of 32 (A32) or 256 (A256)
  std::vector<std::int8_t> q;    ///< [tokens][cols], -127..127
  std::vector<std::int32_t> k;   ///< [tokens][cols / 32 or cols / 256], 1..4095
  std::vector<std::int32_t> m;   ///< [tokens][cols / 32], 1..63; all 1 for A32
  std::vector<std::int32_t> sum; ///< [tokens][cols / 32]: sum of q over the 32
  std::vector<float> u;          ///< [tokens], powers of two

  [[nodiscard]] std::uint32_t scale_block() const noexcept {
    return form == activation_form::a256 ? 256 : 32;
  }
  [[nodiscard]] const std::int8_t* q_row(std::size_t t) const noexcept { return &q[t * cols]; }
  [[nodiscard]] const std::int32_t* k_row(std::size_t t) const noexcept {
    return &k[t * (cols / scale_block())];
  }
  [[nodiscard]] const std::int32_t* m_row(std::size_t t) const noexcept {
    return &m[t * (cols / 32)];
  }
  [[nodiscard]] const std::int32_t* sum_row(std::size_t t) const noexcept {
    return &sum[t * (cols / 32)];
  }
  /// Sets the shape. Memory only ever grows, so that a decode step allocates nothing.
  void reshape(activation_form f, std::uint32_t token_count, std::uint32_t col_count);
};

/// What the calling thread made of a product's activations in a form of its kernel's own, which the
/// next product of a series takes over where the activations and the form of the weights are the
/// same. For products that one thread computes one after another, none of another series between
/// them, while no activation changes. Results do not depend on it.
struct preparation {
  const quantized_batch* batch{nullptr};
  tensor_type type{tensor_type::f32};
  bool packed{false};
};

/// Attention of query heads of one token that share a key/value head, over its cached positions.
struct attention_task {
  const float* query{nullptr};          ///< [heads][head_dim], after rotation
  const std::uint16_t* keys{nullptr};   ///< [positions][head_dim], fp16
  const std::uint16_t* values{nullptr}; ///< [positions][head_dim], fp16
  std::size_t stride{0};                ///< fp16 elements between consecutive positions
  std::uint32_t positions{0};           ///< at least 1; position 0 is absolute position 0
  std::uint32_t first{0};               ///< positions before it are masked; below `positions`
  std::uint32_t head_dim{0};
  std::uint32_t heads{1};
  float scale{0};
  float cap{0};           ///< scores become cap * tanh(score / cap); 0: they do not
  float* scores{nullptr}; ///< scratch, [heads][positions]
  float* output{nullptr}; ///< [heads][head_dim]
};

/// The last three are of aarch64: NEON alone, with products of bytes (FEAT_DotProd), and with those
/// of small matrices of bytes, too (FEAT_I8MM).
enum class isa : std::uint8_t { reference, avx2, avx512, neon, dotprod, i8mm };

/// All but the reference, on each family of processors fastest first.
inline constexpr std::array fast_isas{isa::avx512, isa::avx2, isa::i8mm, isa::dotprod, isa::neon};

/// One implementation of the profile. All functions are pure: they read their arguments, write
/// their outputs, and need round-to-nearest with subnormals kept (`numerics`).
struct kernel_set {
  isa id{isa::reference};
  std::string_view name; ///< `name_of(id)`

  /// Quantises `x[0..batch.cols)` into row `token` of `batch`. False when x holds a NaN or an
  /// infinity; the row is then unspecified.
  bool (*quantize)(const float* x, quantized_batch& batch, std::uint32_t token);

  /// out_i = x_i - q_i * d_i, rounded once: what quantising `x` into row `token` of `batch` left of
  /// it; d_i is what the element was divided by. `out` may be `x`.
  void (*remainder)(const float* x, const quantized_batch& batch, std::uint32_t token, float* out);

  /// y[t * y_stride + r] = row r of `w` times row t of `x`, for r in [row_first, row_last) and
  /// every token: an exact integer, rounded once (section 4). `w.type` fits `x.form`. `kept` is
  /// what the product before left, or null.
  void (*product)(const weight& w, std::uint32_t row_first, std::uint32_t row_last,
                  const quantized_batch& x, float* y, std::size_t y_stride, preparation* kept);

  /// The same for F32, F16 and BF16 weights: striped sums of binary32 products (section 2).
  void (*product_float)(const weight& w, std::uint32_t row_first, std::uint32_t row_last,
                        const float* x, std::size_t x_stride, std::uint32_t tokens, float* y,
                        std::size_t y_stride);

  /// y_i = (x_i * r) * w_i with r = 1 / sqrt(ss / n + epsilon). `y` may be `x`.
  void (*rms_norm)(const float* x, const float* w, std::uint32_t n, float epsilon, float* y);

  /// out_i = fl(silu(gate_i) * up_i). `out` may be `gate`.
  void (*swiglu)(const float* gate, const float* up, std::uint32_t n, float* out);

  /// Rotates `pairs` neighbouring pairs (x_2i, x_2i+1) in place by (cos_i, sin_i), interleaved in
  /// `cos_sin` [pairs][2].
  void (*rotate)(float* x, const float* cos_sin, std::uint32_t pairs);

  /// Section 5, attention, each head alone: which of them share a task changes no bit.
  void (*attend)(const attention_task& task);

  /// a_i = fl(a_i + b_i). False when a result is a NaN or an infinity.
  bool (*add)(float* a, const float* b, std::uint32_t n);

  /// Rounds to fp16, nearest even. False when a finite value overflows or one is not finite.
  bool (*to_half)(const float* x, std::uint32_t n, std::uint16_t* out);
};

[[nodiscard]] const kernel_set& kernels_reference() noexcept;
/// Null where this build has no such kernels (another processor family).
[[nodiscard]] const kernel_set* kernels_avx2() noexcept;
[[nodiscard]] const kernel_set* kernels_avx512() noexcept;
/// NEON, dotprod or i8mm.
[[nodiscard]] const kernel_set* kernels_arm(isa id) noexcept;
/// Any of the above.
[[nodiscard]] const kernel_set* kernels_of(isa id) noexcept;

/// What the processor running this program can do.
[[nodiscard]] bool processor_has(isa id) noexcept;

/// The fast sets that this processor runs, fastest first.
[[nodiscard]] std::vector<const kernel_set*> fast_kernels_here();

/// "reference", "avx2" and so on, as `--kernels` and OVIR_ISA take them.
[[nodiscard]] std::string_view name_of(isa id) noexcept;

/// The isa of that name; anything else is `invalid_argument`.
[[nodiscard]] result<isa> isa_from(std::string_view name);

/// The set asked for, or the fastest this processor has. `unsupported` when it lacks the one asked.
[[nodiscard]] result<const kernel_set*> select_kernels(std::optional<isa> wanted);

} // namespace ovir::compute
