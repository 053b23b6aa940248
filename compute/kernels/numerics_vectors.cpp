#include "compute/kernels/numerics_vectors.hpp"

#include "compute/base/exact_math.hpp"
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/kernels/reference/block_operations.hpp"
#include "compute/kernels/two_terms.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "compute/text/sampler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace ovir::compute {

namespace {

/// splitmix64: every vector is a function of its seed alone.
class generator {
public:
  explicit generator(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
  }
  std::uint32_t bits() { return static_cast<std::uint32_t>(next() >> 32U); }

  /// A signed value with a full mantissa and an exponent in [low, low + span).
  float value(int low, int span) {
    const std::uint32_t r = bits();
    const auto exponent = static_cast<std::uint32_t>(low + 127) + bits() % std::uint32_t(span);
    return std::bit_cast<float>((r & 0x807FFFFFU) | exponent << 23U);
  }

  /// A finite fp16 with its exponent field below `exponents`; subnormals and zeros included.
  std::uint16_t half(std::uint32_t exponents) {
    const std::uint32_t r = bits();
    return static_cast<std::uint16_t>((r & 0x83FFU) | (bits() % exponents) << 10U);
  }

private:
  std::uint64_t state_;
};

std::vector<float> values(generator& g, std::size_t n, int low, int span) {
  std::vector<float> out(n);
  std::generate(out.begin(), out.end(), [&] { return g.value(low, span); });
  return out;
}

std::vector<std::uint16_t> halves(generator& g, std::size_t n, std::uint32_t exponents) {
  std::vector<std::uint16_t> out(n);
  std::generate(out.begin(), out.end(), [&] { return g.half(exponents); });
  return out;
}

/// Weight bytes, and the view of them.
struct matrix {
  std::vector<std::byte> bytes;
  weight view;
};

void put_half(std::byte* to, std::uint16_t bits) { std::memcpy(to, &bits, sizeof bits); }

/// Fixes the parts of a random block that must not be random: scales stay finite, and within the
/// int64 bounds unless the matrix is wide.
void fix_block(generator& g, tensor_type type, bool wide, std::byte* block) {
  constexpr std::uint32_t finite_exponents = 31;
  constexpr std::uint32_t narrow_exponents = 8; // |d| < 2^-7, so |D| < 2^17 as in real files
  const std::uint32_t exponents = wide ? finite_exponents : narrow_exponents;
  switch (type) {
  case tensor_type::f32: {
    const float v = g.value(-30, 32);
    std::memcpy(block, &v, sizeof v);
    return;
  }
  case tensor_type::bf16:
    put_half(block,
             static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(g.value(-30, 32)) >> 16U));
    return;
  case tensor_type::f16: put_half(block, g.half(finite_exponents)); return;
  default: break;
  }
  const tensor_row& row = *row_of(type);
  if (!row.half_scales) {
    constexpr std::uint32_t narrow = 18; // D < 2^17
    constexpr std::uint32_t all = mxfp4_exponent_max - mxfp4_exponent_min + 1;
    *block = static_cast<std::byte>(mxfp4_exponent_min + g.bits() % (wide ? all : narrow));
    return;
  }
  put_half(block + row.d_at, g.half(exponents));
  if (row.dmin_at) {
    put_half(block + *row.dmin_at, g.half(exponents));
  }
}

/// Rows alternate between random blocks, all bits set (the extreme quants and scales of every
/// type) and all bits clear.
matrix make_matrix(generator& g, tensor_type type, std::uint32_t rows, std::uint32_t cols,
                   bool wide) {
  matrix m;
  m.view = {.type = type, .rows = rows, .cols = cols, .data = nullptr, .wide = wide};
  m.bytes.resize(m.view.row_bytes() * rows);
  m.view.data = m.bytes.data();
  const std::size_t block_bytes = layout_of(type).block_bytes;
  for (std::uint32_t r = 0; r < rows; ++r) {
    std::byte* row = m.bytes.data() + r * m.view.row_bytes();
    for (std::byte* block = row; block < row + m.view.row_bytes(); block += block_bytes) {
      for (std::size_t i = 0; i < block_bytes; ++i) {
        const auto random = static_cast<std::byte>(g.bits());
        block[i] = r % 8 == 5 ? std::byte{0xFF} : r % 8 == 6 ? std::byte{0} : random;
      }
      if (r % 8 == 5 && type == tensor_type::q8_0) {
        std::fill(block + 2, block + block_bytes, std::byte{0x80}); // weights of -128
      }
      fix_block(g, type, wide, block);
    }
  }
  return m;
}

/// Rows of very different kinds: random, with outliers, all zero, subnormal.
std::vector<float> activation_row(generator& g, std::uint32_t cols, std::uint32_t kind) {
  if (kind % 5 == 3) {
    return std::vector<float>(cols, 0.0F);
  }
  if (kind % 5 == 4) {
    return values(g, cols, -127, 3);
  }
  std::vector<float> x = values(g, cols, -8, 8);
  if (kind % 5 == 1) {
    for (std::uint32_t i = 7; i < cols; i += 61) {
      x[i] *= 0x1p+9F;
    }
  }
  if (kind % 5 == 2) {
    for (std::uint32_t i = 0; i < cols; ++i) {
      x[i] = std::bit_cast<float>((std::bit_cast<std::uint32_t>(x[i]) & 0x80000000U) | 0x40FE0000U);
    }
  }
  return x;
}

quantized_batch quantize_rows(generator& g, const kernel_set& kernels, activation_form form,
                              std::uint32_t tokens, std::uint32_t cols) {
  quantized_batch batch;
  batch.reshape(form, tokens, cols);
  for (std::uint32_t t = 0; t < tokens; ++t) {
    (void)kernels.quantize(activation_row(g, cols, t).data(), batch, t);
  }
  return batch;
}

/// The largest numbers a batch may hold, whatever vector would lead to them.
quantized_batch extreme_batch(generator& g, activation_form form, std::uint32_t tokens,
                              std::uint32_t cols) {
  quantized_batch batch;
  batch.reshape(form, tokens, cols);
  for (std::size_t i = 0; i < batch.q.size(); ++i) {
    const std::size_t token = i / cols;
    const bool negative = token % 3 == 0 ? false : token % 3 == 1 || g.bits() % 2 == 0;
    batch.q[i] = negative ? std::int8_t{-127} : std::int8_t{127};
    batch.sum[i / 32] += batch.q[i];
  }
  std::fill(batch.k.begin(), batch.k.end(), 4095);
  std::fill(batch.m.begin(), batch.m.end(), form == activation_form::a256 ? 63 : 1);
  std::fill(batch.u.begin(), batch.u.end(), 0x1p-9F);
  return batch;
}

void quantize_vectors(const kernel_set& kernels, vector_outputs& out) {
  generator g{1};
  for (const activation_form form : {activation_form::a32, activation_form::a256}) {
    const std::uint32_t step = form == activation_form::a32 ? 32 : 256;
    for (const std::uint32_t cols : {step, 3 * step, 5 * step}) {
      const quantized_batch b = quantize_rows(g, kernels, form, 10, cols);
      out.begin(fmt::format("quantize to A{}, {} columns", step, cols));
      out.add(std::span{b.q});
      out.add(std::span{b.k});
      out.add(std::span{b.m});
      out.add(std::span{b.sum});
      out.add(std::span{b.u});
      out.begin(fmt::format("quantize to A{} in two terms, {} columns", step, cols));
      quantized_batch two;
      two.reshape(form, 10, cols);
      std::vector<float> rest(cols);
      for (std::uint32_t t = 0; t < 5; ++t) {
        out.add(quantize_in_two(kernels, activation_row(g, cols, t).data(), rest.data(), two, t));
        out.add(std::span<const float>{rest});
      }
      out.add(std::span{two.q});
      out.add(std::span{two.k});
      out.add(std::span{two.m});
      out.add(std::span{two.u});
      out.begin(fmt::format("quantize to A{}, {} columns, not finite", step, cols));
      quantized_batch spare;
      spare.reshape(form, 1, cols);
      for (const float bad :
           {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
            std::numeric_limits<float>::quiet_NaN()}) {
        for (std::uint32_t at = 0; at < cols; at += 13) {
          std::vector<float> x = activation_row(g, cols, 0);
          x[at] = bad;
          out.add(kernels.quantize(x.data(), spare, 0));
        }
      }
    }
  }
}

/// What the packed form of a weight points to, while the vector lives.
std::vector<std::byte> pack(weight& w) {
  std::vector<std::byte> bytes(packed_bytes(w));
  const std::size_t panel_bytes = packed_panel_bytes(w.type, w.cols);
  for (std::uint32_t i = 0; i * panel_bytes < bytes.size(); ++i) {
    pack_panel(w, i, bytes.data() + i * panel_bytes);
  }
  w.packed = bytes.data();
  return bytes;
}

void product_case(const kernel_set& kernels, const matrix& m, const quantized_batch& x,
                  std::string_view kind, weights_as how, vector_outputs& out) {
  const std::uint32_t rows = m.view.rows;
  weight w = m.view;
  const std::vector<std::byte> packed =
      how == weights_as::panels && !w.wide ? pack(w) : std::vector<std::byte>{};
  const std::size_t stride = rows + 3;
  // In one piece, and cut where no kernel likes it: cells outside a range must stay as they were.
  for (const std::uint32_t cut : {0U, rows / 3}) {
    std::vector<float> y(stride * x.tokens, -1.0F);
    kernels.product(w, cut, rows, x, y.data(), stride, nullptr);
    out.begin(fmt::format("{} product of {}, {} rows from {}, {} columns, {} tokens", kind,
                          name_of(m.view.type), rows, cut, m.view.cols, x.tokens));
    out.add(std::span<const float>{y});
  }
}

void product_vectors(const kernel_set& kernels, weights_as how, vector_outputs& out) {
  struct shape {
    std::uint32_t rows;
    std::uint32_t blocks;
    std::uint32_t tokens;
  };
  constexpr std::array<shape, 5> shapes{
      {{1, 1, 1}, {35, 2, 5}, {19, 3, 9}, {33, 1, 2}, {16, 2, 3}}};
  generator g{2};
  for (const tensor_row& row : tensor_rows) {
    const tensor_type type = row.type;
    if (row.decode == nullptr) {
      continue;
    }
    const activation_form form = form_for(type);
    for (const shape& s : shapes) {
      const std::uint32_t cols = s.blocks * (form == activation_form::a256 ? 256 : 96);
      const quantized_batch x = quantize_rows(g, kernels, form, s.tokens, cols);
      product_case(kernels, make_matrix(g, type, s.rows, cols, false), x, "narrow", how, out);
    }
    const std::uint32_t cols = form == activation_form::a256 ? 512 : 160;
    const quantized_batch extreme = extreme_batch(g, form, 6, cols);
    product_case(kernels, make_matrix(g, type, 21, cols, false), extreme, "extreme", how, out);
    product_case(kernels, make_matrix(g, type, 13, cols, true), extreme, "wide", how, out);
  }
}

void product_float_vectors(const kernel_set& kernels, weights_as how, vector_outputs& out) {
  generator g{3};
  for (const tensor_type type : {tensor_type::f32, tensor_type::f16, tensor_type::bf16}) {
    for (const std::uint32_t cols : {1U, 15U, 16U, 33U, 64U, 127U}) {
      constexpr std::uint32_t rows = 11;
      const matrix m = make_matrix(g, type, rows, cols, false);
      weight w = m.view;
      const auto packed = how == weights_as::panels ? pack(w) : std::vector<std::byte>{};
      for (const std::uint32_t tokens : {1U, 4U, 7U}) {
        const std::size_t x_stride = cols + 5;
        const std::vector<float> x = values(g, x_stride * tokens, -20, 20);
        std::vector<float> y(std::size_t{rows} * tokens, -1.0F);
        kernels.product_float(w, 2, rows, x.data(), x_stride, tokens, y.data(), rows);
        out.begin(fmt::format("product of {}, {} columns, {} tokens", name_of(type), cols, tokens));
        out.add(std::span<const float>{y});
      }
    }
  }
}

constexpr std::array<std::uint32_t, 9> lengths{1, 3, 8, 15, 16, 17, 31, 64, 203};

void norm_and_activation_vectors(const kernel_set& kernels, vector_outputs& out) {
  generator g{4};
  for (const std::uint32_t n : lengths) {
    const std::vector<float> x = values(g, n, -12, 14);
    const std::vector<float> w = values(g, n, -3, 4);
    std::vector<float> y(n);
    kernels.rms_norm(x.data(), w.data(), n, 1e-5F, y.data());
    out.begin(fmt::format("rms_norm of {}", n));
    out.add(std::span<const float>{y});

    // Gates from the tiny to where exp overflows and underflows.
    const std::vector<float> gate = values(g, n, -20, 28);
    kernels.swiglu(gate.data(), x.data(), n, y.data());
    out.begin(fmt::format("swiglu of {}", n));
    out.add(std::span<const float>{y});
    std::vector<float> in_place = gate;
    kernels.swiglu(in_place.data(), w.data(), n, in_place.data());
    out.add(std::span<const float>{in_place});

    std::vector<float> pairs = values(g, std::size_t{2} * n, -10, 12);
    const std::vector<float> turn = values(g, std::size_t{2} * n, -6, 6);
    kernels.rotate(pairs.data(), turn.data(), n);
    out.begin(fmt::format("rotate of {} pairs", n));
    out.add(std::span<const float>{pairs});
  }
}

void add_and_half_vectors(const kernel_set& kernels, vector_outputs& out) {
  constexpr float largest = std::numeric_limits<float>::max();
  generator g{5};
  for (const std::uint32_t n : lengths) {
    std::vector<float> a = values(g, n, -127, 140);
    const std::vector<float> b = values(g, n, -127, 140);
    out.begin(fmt::format("add of {}", n));
    out.add(kernels.add(a.data(), b.data(), n));
    out.add(std::span<const float>{a});
    // Overflow in each place in turn must be noticed.
    for (std::uint32_t at = 0; at < n; at += 1 + n / 20) {
      std::vector<float> huge(n, 1.0F);
      huge[at] = at % 2 == 0 ? largest : -largest;
      std::vector<float> sum = huge;
      out.add(kernels.add(sum.data(), huge.data(), n));
      out.add(std::span<const float>{sum});
    }

    std::vector<std::uint16_t> h(n);
    std::vector<float> x = values(g, n, -27, 42);
    out.begin(fmt::format("to_half of {}", n));
    out.add(kernels.to_half(x.data(), n, h.data()));
    out.add(std::span<const std::uint16_t>{h});
    for (std::uint32_t at = 0; at < n; at += 1 + n / 20) {
      // Exact ties, and the edge of overflow: 65519.996 is 65504, 65520 an infinity.
      x = values(g, n, -27, 20);
      for (float& v : x) {
        v = std::bit_cast<float>((std::bit_cast<std::uint32_t>(v) & 0xFFFFE000U) | 0x1000U);
      }
      x[at] = at % 2 == 0 ? 0x1.ffep+15F : 0x1.ffdffep+15F;
      out.add(kernels.to_half(x.data(), n, h.data()));
      out.add(std::span<const std::uint16_t>{h});
    }
  }
}

void attend_vectors(const kernel_set& kernels, vector_outputs& out) {
  struct shape {
    std::uint32_t head_dim;
    std::uint32_t positions;
  };
  constexpr std::array<shape, 10> shapes{{{64, 1},
                                          {64, 17},
                                          {64, 257},
                                          {128, 40},
                                          {80, 31},
                                          {48, 530},
                                          {32, 256},
                                          {6, 19},
                                          {100, 15},
                                          {2, 300}}};
  constexpr std::uint32_t heads = 5; // what goes together, and a rest
  generator g{6};
  for (const shape& s : shapes) {
    const std::size_t stride = s.head_dim + 8;
    std::vector<float> query = values(g, s.head_dim, -6, 8);
    const std::vector<std::uint16_t> keys = halves(g, stride * s.positions, 18);
    const std::vector<std::uint16_t> cached = halves(g, stride * s.positions, 20);
    // One head several times over, so that it also goes through what computes heads together.
    for (std::uint32_t i = s.head_dim; i < heads * s.head_dim; ++i) {
      query.push_back(query[i - s.head_dim]);
    }
    std::vector<float> scores(std::size_t{heads} * s.positions);
    std::vector<float> results(std::size_t{heads} * s.head_dim);
    kernels.attend({.query = query.data(),
                    .keys = keys.data(),
                    .values = cached.data(),
                    .stride = stride,
                    .positions = s.positions,
                    .head_dim = s.head_dim,
                    .heads = heads,
                    .scale = 0x1.6a09e6p-3F,
                    .scores = scores.data(),
                    .output = results.data()});
    // The last head that differs from the first, or the first.
    std::span<const float> result{results.data(), s.head_dim};
    for (std::uint32_t h = 1; h < heads; ++h) {
      const float* const other = results.data() + std::size_t{h} * s.head_dim;
      if (std::memcmp(other, results.data(), s.head_dim * sizeof(float)) != 0) {
        result = {other, s.head_dim};
      }
    }
    out.begin(fmt::format("attend over {} positions of {}", s.positions, s.head_dim));
    out.add(result);
  }
}

/// Windows that begin in a chunk, at one and after some, and scores that are capped.
void masked_attend_vectors(const kernel_set& kernels, vector_outputs& out) {
  struct shape {
    std::uint32_t first;
    std::uint32_t positions;
    float cap;
  };
  constexpr std::array<shape, 7> shapes{{{1, 2, 0},
                                         {17, 40, 0},
                                         {255, 300, 0},
                                         {256, 290, 0},
                                         {530, 801, 0},
                                         {0, 70, 5},
                                         {300, 555, 50}}};
  constexpr std::uint32_t heads = 3;
  constexpr std::uint32_t head_dim = 48;
  generator g{8};
  for (const shape& s : shapes) {
    const std::vector<float> query = values(g, std::size_t{heads} * head_dim, -6, 8);
    const std::vector<std::uint16_t> keys = halves(g, std::size_t{head_dim} * s.positions, 18);
    const std::vector<std::uint16_t> cached = halves(g, std::size_t{head_dim} * s.positions, 20);
    std::vector<float> scores(std::size_t{heads} * s.positions);
    std::vector<float> results(std::size_t{heads} * head_dim);
    kernels.attend({.query = query.data(),
                    .keys = keys.data(),
                    .values = cached.data(),
                    .stride = head_dim,
                    .positions = s.positions,
                    .first = s.first,
                    .head_dim = head_dim,
                    .heads = heads,
                    .scale = 0x1.6a09e6p-3F,
                    .cap = s.cap,
                    .scores = scores.data(),
                    .output = results.data()});
    out.begin(fmt::format("attend from {} to {}, cap {}", s.first, s.positions, s.cap));
    out.add(std::span<const float>{results});
  }
}

void add_double(vector_outputs& out, double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  out.words.push_back(static_cast<std::uint32_t>(bits));
  out.words.push_back(static_cast<std::uint32_t>(bits >> 32U));
}

} // namespace

void vector_outputs::add(std::span<const float> numbers) {
  for (const float x : numbers) {
    words.push_back(std::bit_cast<std::uint32_t>(x));
  }
}

void vector_outputs::add(std::span<const std::int32_t> numbers) {
  for (const std::int32_t x : numbers) {
    words.push_back(static_cast<std::uint32_t>(x));
  }
}

void vector_outputs::add(std::span<const std::int8_t> numbers) {
  for (const std::int8_t x : numbers) {
    words.push_back(static_cast<std::uint32_t>(x));
  }
}

void vector_outputs::add(std::span<const std::uint16_t> numbers) {
  words.insert(words.end(), numbers.begin(), numbers.end());
}

vector_outputs run_kernel_vectors(const kernel_set& kernels, weights_as how) {
  vector_outputs out;
  quantize_vectors(kernels, out);
  product_vectors(kernels, how, out);
  product_float_vectors(kernels, how, out);
  norm_and_activation_vectors(kernels, out);
  add_and_half_vectors(kernels, out);
  attend_vectors(kernels, out);
  masked_attend_vectors(kernels, out);
  return out;
}

vector_outputs run_function_vectors() {
  vector_outputs out;
  generator g{7};
  const std::vector<float> x = values(g, 2'000, -30, 37);
  for (const auto& [name, function] : {std::pair{"exp", &exact_exp},
                                       {"silu", &exact_silu},
                                       {"tanh", &exact_tanh},
                                       {"gelu", &exact_gelu}}) {
    out.begin(name);
    for (const float v : x) {
      out.add(std::array{function(v)});
    }
  }
  out.begin("soft cap");
  for (const float v : x) {
    out.add(std::array{exact_soft_cap(v, 30.0F)});
  }
  out.begin("experts");
  for (std::size_t i = 0; i < 200; ++i) {
    std::vector<float> logits = values(g, 3 + i % 40, -4, 7);
    logits[i % logits.size()] = logits[0]; // some are equal
    std::vector<chosen_expert> chosen(1 + i % 3);
    out.add(choose_experts(logits, i % 2 == 0, chosen));
    for (const chosen_expert& c : chosen) {
      out.words.push_back(c.expert);
      out.add(std::array{c.share, share_of(c.share * 8)});
    }
  }
  out.begin("log");
  for (const float v : x) {
    add_double(out, exact_log(1.0 + static_cast<double>(std::fabs(v))));
  }
  out.begin("pow");
  for (const double base : {10'000.0, 500'000.0, 1'000'000.0}) {
    for (int i = 0; i < 64; ++i) {
      add_double(out, exact_pow(base, -(2.0 * i / 128)));
    }
  }
  out.begin("cos and sin");
  for (int i = 0; i < 2'000; ++i) {
    const auto position = static_cast<double>(g.bits() % (1U << 20U));
    const cos_sin cs = exact_cos_sin(position * exact_pow(10'000, -(2.0 * (i % 64) / 128)));
    out.add(std::array{cs.cos, cs.sin});
  }
  out.begin("integers to binary32");
  for (int i = 0; i < 500; ++i) {
    const auto z = static_cast<std::int64_t>(g.next()) >> (g.bits() % 60);
    const int128 wide = static_cast<int128>(z) * static_cast<std::int64_t>(g.next() >> 1U);
    out.add(std::array{round_to_float(z), round_to_float_wide(wide)});
  }
  out.begin("draws");
  sampler tokens{{.temperature = 0.8F,
                  .top_k = 50,
                  .top_p = 0.95,
                  .min_p = 0.01,
                  .repeat_penalty = 1.1F,
                  .seed = 9}};
  std::vector<token_id> drawn;
  for (position p = 0; p < 100; ++p) {
    drawn.push_back(tokens.draw(values(g, 300, -4, 6), drawn, p));
  }
  out.words.insert(out.words.end(), drawn.begin(), drawn.end());
  return out;
}

} // namespace ovir::compute
