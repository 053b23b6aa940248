// The specification of exact-1's arithmetic, written to be read beside docs/formats/exact-1.md:
// scalar, in the order the page gives, no cleverness. Every fast kernel equals it bit for bit.
#include "compute/kernels/kernels.hpp"

#include "compute/base/exact_math.hpp"
#include "compute/kernels/partial_sums.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace ovir::compute {

namespace {

__extension__ using int128 = __int128;

constexpr std::size_t stripes = 16;
constexpr std::uint32_t attention_chunk = 256;

using stripe_sums = std::array<float, stripes>;

/// Folds the lanes of a striped sum: l and l+8, l+4, l+2, l+1.
float fold(stripe_sums s) {
  for (std::size_t half = stripes / 2; half > 0; half /= 2) {
    for (std::size_t l = 0; l < half; ++l) {
      s[l] += s[l + half];
    }
  }
  return s[0];
}

/// The striped sum of a(i) * b(i), i < n (section 2).
template <class A, class B>
float striped_sum(std::size_t n, A a, B b) {
  stripe_sums s{};
  for (std::size_t i = 0; i < n; ++i) {
    s[i % stripes] = std::fma(a(i), b(i), s[i % stripes]);
  }
  return fold(s);
}

/// u = max(2^(floor(log2 s) - 11), 2^-100) for the largest scale s of a row.
float unit_of(float largest_scale) {
  constexpr int exponent_min = -100;
  if (largest_scale == 0) {
    return std::ldexp(1.0F, exponent_min);
  }
  return std::ldexp(1.0F, std::max(std::ilogb(largest_scale) - 11, exponent_min));
}

std::int32_t clamp_to(float value, std::int32_t low, std::int32_t high) {
  if (value <= static_cast<float>(low)) {
    return low;
  }
  return value >= static_cast<float>(high) ? high : static_cast<std::int32_t>(value);
}

/// Quantises the 32 elements at x by the exact divisor `step`; returns the sum of q.
std::int32_t quantize_block(const float* x, float step, std::int8_t* q) {
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    // nearbyint rounds ties to even in the mode `numerics` asserts.
    q[i] = static_cast<std::int8_t>(clamp_to(std::nearbyint(x[i] / step), -127, 127));
    sum += q[i];
  }
  return sum;
}

bool quantize(const float* x, quantized_batch& batch, std::uint32_t token) {
  const std::size_t blocks = batch.cols / 32;
  const std::size_t blocks_per_scale = batch.scale_block() / 32;
  const std::size_t scales = blocks / blocks_per_scale;
  std::int8_t* q = batch.q.data() + std::size_t{token} * batch.cols;
  std::int32_t* k = batch.k.data() + token * scales;
  std::int32_t* m = batch.m.data() + token * blocks;
  std::int32_t* sum = batch.sum.data() + token * blocks;
  const bool a256 = batch.form == activation_form::a256;

  // s_j of every block of 32, and the largest scale of each scale block.
  const auto block_scale = [&](std::size_t j) {
    float largest = 0;
    for (std::size_t i = 0; i < 32; ++i) {
      largest = std::fmax(largest, std::fabs(x[j * 32 + i]));
    }
    return largest / 127.0F;
  };
  const auto scale_of = [&](std::size_t b) {
    float largest = 0;
    for (std::size_t j = 0; j < blocks_per_scale; ++j) {
      largest = std::fmax(largest, block_scale(b * blocks_per_scale + j));
    }
    return a256 ? largest / 63.0F : largest;
  };

  float largest_scale = 0;
  for (std::size_t i = 0; i < batch.cols; ++i) {
    if (!std::isfinite(x[i])) {
      return false;
    }
  }
  for (std::size_t b = 0; b < scales; ++b) {
    largest_scale = std::fmax(largest_scale, scale_of(b));
  }
  const float u = unit_of(largest_scale);
  batch.u[token] = u;
  for (std::size_t b = 0; b < scales; ++b) {
    k[b] = clamp_to(std::ceil(scale_of(b) / u), 1, 4095);
    const float ku = static_cast<float>(k[b]) * u;
    for (std::size_t j = b * blocks_per_scale; j < (b + 1) * blocks_per_scale; ++j) {
      m[j] = a256 ? clamp_to(std::ceil(block_scale(j) / ku), 1, 63) : 1;
      sum[j] = quantize_block(x + j * 32, static_cast<float>(m[j]) * ku, q + j * 32);
    }
  }
  return true;
}

void remainder(const float* x, const quantized_batch& batch, std::uint32_t token, float* out) {
  const std::int8_t* q = batch.q_row(token);
  const std::int32_t* k = batch.k_row(token);
  const std::int32_t* m = batch.m_row(token);
  for (std::size_t i = 0; i < batch.cols; ++i) {
    const float ku = static_cast<float>(k[i / batch.scale_block()]) * batch.u[token];
    const float step = static_cast<float>(m[i / 32]) * ku;
    out[i] = std::fma(-static_cast<float>(q[i]), step, x[i]);
  }
}

/// S of one row and one token, all terms exact integers (section 4). `Sum` is int64, or int128 for
/// rows on the wide path.
template <class Sum>
Sum row_product(const weight& w, std::uint32_t row, const quantized_batch& x, std::size_t token) {
  const std::int8_t* q = x.q_row(token);
  const std::int32_t* k = x.k_row(token);
  const std::int32_t* m = x.m_row(token);
  const tensor_layout layout = layout_of(w.type);
  const std::size_t blocks = w.cols / layout.block_elements;
  const std::byte* block = w.row(row);
  Sum total = 0;
  for (std::size_t b = 0; b < blocks; ++b, block += layout.block_bytes) {
    const integer_block integers = decode_block(w.type, block);
    const std::int8_t* qb = q + b * layout.block_elements;
    std::int64_t scaled = 0; // sum over j of sc_j * m_j * dot_j, for this block's one D
    std::int64_t mins = 0;   // sum over j of mn_j * m_j * sum of q
    const std::size_t group = layout.block_elements / integers.groups;
    for (std::size_t g = 0; g < integers.groups; ++g) {
      std::int64_t dot = 0;
      std::int64_t sum = 0;
      for (std::size_t i = g * group; i < (g + 1) * group; ++i) {
        dot += std::int64_t{integers.w[i]} * qb[i];
        sum += qb[i];
      }
      const std::size_t j = (b * layout.block_elements + g * group) / 32;
      scaled += std::int64_t{integers.scale[g]} * m[j] * dot;
      if (integers.min_scale != 0) {
        mins += std::int64_t{integers.min[g]} * m[j] * sum;
      }
    }
    const std::size_t scale_index = b * layout.block_elements / x.scale_block();
    total += static_cast<Sum>(integers.block_scale) * k[scale_index] * scaled;
    total -= static_cast<Sum>(integers.min_scale) * k[scale_index] * mins;
  }
  return total;
}

void product(const weight& w, std::uint32_t row_first, std::uint32_t row_last,
             const quantized_batch& x, float* y, std::size_t y_stride, preparation* /*kept*/) {
  OVIR_CHECK(form_for(w.type) == x.form && w.cols == x.cols, w.cols, x.cols);
  for (std::size_t t = 0; t < x.tokens; ++t) {
    const float power = x.u[t] * unit_of_products(w.type); // exact: u >= 2^-100
    for (std::uint32_t row = row_first; row < row_last; ++row) {
      const float rounded = w.wide ? round_to_float_wide(row_product<int128>(w, row, x, t))
                                   : round_to_float(row_product<std::int64_t>(w, row, x, t));
      y[t * y_stride + row] = rounded * power;
    }
  }
}

void product_float(const weight& w, std::uint32_t row_first, std::uint32_t row_last, const float* x,
                   std::size_t x_stride, std::uint32_t tokens, float* y, std::size_t y_stride) {
  for (std::size_t t = 0; t < tokens; ++t) {
    const auto input = [&](std::size_t i) { return x[t * x_stride + i]; };
    for (std::uint32_t row = row_first; row < row_last; ++row) {
      const std::byte* data = w.row(row);
      y[t * y_stride + row] = striped_sum(
          w.cols, [&](std::size_t i) { return float_element(w.type, data, i); }, input);
    }
  }
}

void rms_norm(const float* x, const float* w, std::uint32_t n, float epsilon, float* y) {
  const auto at = [&](std::size_t i) { return x[i]; };
  const float ss = striped_sum(n, at, at);
  const float r = 1.0F / std::sqrt(ss / static_cast<float>(n) + epsilon);
  for (std::uint32_t i = 0; i < n; ++i) {
    y[i] = (x[i] * r) * w[i];
  }
}

void swiglu(const float* gate, const float* up, std::uint32_t n, float* out) {
  for (std::uint32_t i = 0; i < n; ++i) {
    out[i] = exact_silu(gate[i]) * up[i];
  }
}

void rotate(float* x, const float* cos_sin, std::uint32_t pairs) {
  for (std::uint32_t i = 0; i < pairs; ++i) {
    const float c = cos_sin[2 * i];
    const float s = cos_sin[2 * i + 1];
    const float a = x[2 * i];
    const float b = x[2 * i + 1];
    x[2 * i] = a * c - b * s; // two products and a difference: contraction is off
    x[2 * i + 1] = a * s + b * c;
  }
}

void attend_head(const attention_task& task) {
  float maximum = -std::numeric_limits<float>::infinity();
  for (std::uint32_t p = task.first; p < task.positions; ++p) {
    const std::uint16_t* key = task.keys + p * task.stride;
    const float dot = striped_sum(
        task.head_dim, [&](std::size_t i) { return task.query[i]; },
        [&](std::size_t i) { return half_to_float(key[i]); });
    const float score = dot * task.scale;
    task.scores[p] = task.cap == 0 ? score : exact_soft_cap(score, task.cap);
    maximum = task.scores[p] > maximum ? task.scores[p] : maximum;
  }
  float total = 0;
  for (std::uint32_t d = 0; d < task.head_dim; ++d) {
    task.output[d] = 0;
  }
  for (std::uint32_t chunk = task.first / attention_chunk * attention_chunk; chunk < task.positions;
       chunk += attention_chunk) {
    const std::uint32_t first = std::max(chunk, task.first);
    const std::uint32_t last = std::min(chunk + attention_chunk, task.positions);
    for (std::uint32_t p = first; p < last; ++p) {
      task.scores[p] = exact_exp(task.scores[p] - maximum);
    }
    // Chunks start at multiples of 256, so lane = p mod 16 is lane = (p - chunk) mod 16.
    stripe_sums sums{};
    for (std::uint32_t p = first; p < last; ++p) {
      sums[(p - chunk) % stripes] = std::fma(task.scores[p], 1.0F, sums[(p - chunk) % stripes]);
    }
    total += fold(sums);
    for (std::uint32_t d = 0; d < task.head_dim; ++d) {
      float o = 0;
      for (std::uint32_t p = first; p < last; ++p) {
        o = std::fma(task.scores[p], half_to_float(task.values[p * task.stride + d]), o);
      }
      task.output[d] += o;
    }
  }
  for (std::uint32_t d = 0; d < task.head_dim; ++d) {
    task.output[d] /= total;
  }
}

void attend(const attention_task& task) {
  for (std::size_t h = 0; h < task.heads; ++h) {
    attention_task head = task;
    head.query = task.query + h * task.head_dim;
    head.output = task.output + h * task.head_dim;
    attend_head(head);
  }
}

bool add(float* a, const float* b, std::uint32_t n) {
  bool finite = true;
  for (std::uint32_t i = 0; i < n; ++i) {
    a[i] += b[i];
    finite = finite && std::isfinite(a[i]);
  }
  return finite;
}

bool to_half(const float* x, std::uint32_t n, std::uint16_t* out) {
  constexpr std::uint16_t exponent_bits = 0x7C00;
  bool finite = true;
  for (std::uint32_t i = 0; i < n; ++i) {
    out[i] = float_to_half(x[i]);
    finite = finite && (out[i] & exponent_bits) != exponent_bits;
  }
  return finite;
}

} // namespace

void quantized_batch::reshape(activation_form f, std::uint32_t token_count,
                              std::uint32_t col_count) {
  OVIR_CHECK(f != activation_form::floats);
  form = f;
  tokens = token_count;
  cols = col_count;
  OVIR_CHECK(cols % scale_block() == 0, cols);
  const auto grow = [](auto& v, std::size_t n) {
    if (v.size() < n) {
      v.resize(n);
    }
  };
  grow(q, std::size_t{tokens} * cols);
  grow(k, std::size_t{tokens} * (cols / scale_block()));
  grow(m, std::size_t{tokens} * (cols / 32));
  grow(sum, std::size_t{tokens} * (cols / 32));
  grow(u, tokens);
}

void product_sums_reference(const weight& w, std::uint32_t row_first, std::uint32_t row_last,
                            const quantized_batch& x, std::int64_t* sums, std::size_t stride) {
  OVIR_CHECK(form_for(w.type) == x.form && w.cols == x.cols && !w.wide, w.cols, x.cols);
  for (std::size_t t = 0; t < x.tokens; ++t) {
    for (std::uint32_t row = row_first; row < row_last; ++row) {
      sums[t * stride + row] = row_product<std::int64_t>(w, row, x, t);
    }
  }
}

const kernel_set& kernels_reference() noexcept {
  static constexpr kernel_set set{
      .id = isa::reference,
      .name = "reference",
      .quantize = quantize,
      .remainder = remainder,
      .product = product,
      .product_float = product_float,
      .rms_norm = rms_norm,
      .swiglu = swiglu,
      .rotate = rotate,
      .attend = attend,
      .add = add,
      .to_half = to_half,
  };
  return set;
}

} // namespace ovir::compute
