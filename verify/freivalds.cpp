#include "verify/freivalds.hpp"

#include "compute/base/exact_math.hpp"
#include "compute/kernels/reference/plain_blocks.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "messages/check.hpp"
#include "verify/field_sums.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

namespace ovir::compute {

namespace {

__extension__ using uint128 = unsigned __int128;

/// The largest |q * m * k| of an activation, exact-1 section 3.
std::uint64_t activation_max(activation_form form) {
  constexpr std::uint64_t a32 = std::uint64_t{127} * 4'095;
  return form == activation_form::a256 ? a32 * 63 : a32;
}

std::uint64_t reduce(uint128 x) {
  // 2^61 = 1, so what is above the 61st bit is added to what is below.
  const auto once = static_cast<std::uint64_t>(x & field_prime) +
                    static_cast<std::uint64_t>((x >> 61U) & field_prime) +
                    static_cast<std::uint64_t>(x >> 122U);
  const std::uint64_t twice = (once & field_prime) + (once >> 61U);
  return twice >= field_prime ? twice - field_prime : twice;
}
std::uint64_t multiply(std::uint64_t a, std::uint64_t b) { return reduce(uint128{a} * b); }
std::uint64_t add(std::uint64_t a, std::uint64_t b) { return reduce(uint128{a} + b); }

/// A signed integer as an element.
std::uint64_t element(std::int64_t x) {
  const auto magnitude = x < 0 ? 0 - static_cast<std::uint64_t>(x) : static_cast<std::uint64_t>(x);
  const std::uint64_t below = reduce(magnitude);
  return x < 0 && below != 0 ? field_prime - below : below;
}

/// A scalar product in the field, reduced as seldom as its 128 bits allow.
struct field_total {
  std::uint64_t value{0};

  /// Adds `elements` times `integers`, which are below 1.6 * 2^62 in magnitude.
  void add(const std::uint64_t* elements, const std::int64_t* integers, std::size_t n) {
    constexpr std::size_t terms = 8; // of 2^123.7 each
    std::size_t i = 0;
    for (; i + terms <= n; i += terms) {
      int128 sum = 0;
      for (std::size_t j = i; j < i + terms; ++j) {
        sum += int128{static_cast<std::int64_t>(elements[j])} * integers[j];
      }
      add(sum);
    }
    for (; i < n; ++i) {
      add(int128{static_cast<std::int64_t>(elements[i])} * integers[i]);
    }
  }

private:
  void add(int128 sum) {
    const std::uint64_t below =
        reduce(sum < 0 ? -static_cast<uint128>(sum) : static_cast<uint128>(sum));
    value = reduce(uint128{value} + (sum < 0 ? field_prime - below : below));
  }
};

std::vector<std::uint64_t> draw_vector(std::size_t n, const secret_source& secrets) {
  std::vector<std::uint64_t> drawn(n);
  secrets(std::as_writable_bytes(std::span{drawn}));
  for (std::uint64_t& value : drawn) {
    value &= field_prime;
    while (value == field_prime) { // once in 2^61: the one number that is not below it
      secrets(std::as_writable_bytes(std::span{&value, 1}));
      value &= field_prime;
    }
  }
  return drawn;
}

/// Weights of a row as integers: element i is D * sc * w - M * mn, in units of 2^-24.
void integer_row(const weight& w, std::uint32_t row, std::vector<std::int64_t>& out) {
  const tensor_layout layout = layout_of(w.type);
  const std::byte* block = w.row(row);
  for (std::size_t b = 0; b < w.cols / layout.block_elements; ++b, block += layout.block_bytes) {
    integer_weights(w.type, block, out.data() + b * layout.block_elements);
  }
}

const unit_matrix layer_order[] = {unit_matrix::q,      unit_matrix::k,    unit_matrix::v,
                                   unit_matrix::output, unit_matrix::gate, unit_matrix::up,
                                   unit_matrix::down};

std::vector<float> floats_of(const weight& w) {
  std::vector<float> values(w.cols);
  embed_row(w, 0, values.data());
  return values;
}

} // namespace

activation_form form_of(const prepared_matrix& m) noexcept {
  return m.form == 1 ? activation_form::a32 : activation_form::a256;
}

result<prepared_matrix> prepare_matrix(const weight& w, std::string_view name,
                                       const secret_source& secrets) {
  const activation_form form = form_for(w.type);
  if (form == activation_form::floats) {
    return fail(errc::unsupported,
                "{} is {}, whose products are sums of floats and no integers: check this model by "
                "replay",
                name, name_of(w.type));
  }
  if (row_of(w.type)->fraction_bits != 0) {
    return fail(errc::unsupported,
                "{} is {}, whose scales have bits after the point: check this model by replay",
                name, name_of(w.type));
  }
  prepared_matrix made;
  made.form = form == activation_form::a32 ? 1 : 2;
  made.rows = w.rows;
  made.cols = w.cols;
  made.secret = draw_vector(w.rows, secrets);
  made.product.assign(w.cols, 0);
  made.bounds.resize(w.rows);
  std::vector<std::int64_t> row(w.cols);
  for (std::uint32_t r = 0; r < w.rows; ++r) {
    integer_row(w, r, row);
    uint128 l1 = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
      l1 += static_cast<std::uint64_t>(std::abs(row[i]));
      made.product[i] = add(made.product[i], multiply(made.secret[r], element(row[i])));
    }
    const uint128 most = l1 * activation_max(form);
    if (w.wide || most > limits::checked_sum_max) {
      return fail(errc::unsupported,
                  "row {} of {} may have sums beyond 2^60, too large for the field: check this "
                  "model by replay",
                  r, name);
    }
    made.bounds[r] = static_cast<std::uint64_t>(most);
  }
  return made;
}

result<prepared_model> prepare_model_check(const model& m, const digest& name,
                                           const secret_source& secrets, parallel_runner& runner) {
  OVIR_TRY(require_plain_blocks(m, "checks without weights"));
  const model_config& c = m.config;
  prepared_model made;
  made.model = name;
  secrets(std::as_writable_bytes(std::span{made.seed.bytes}));
  made.layer_count = c.layers;
  made.dim = c.dim;
  made.feed_forward = c.ffn_dim;
  made.heads = c.heads;
  made.kv_heads = c.kv_heads;
  made.head_dim = c.head_dim;
  made.rope_dim = c.rope_dim;
  made.vocabulary = c.vocabulary;
  made.context = c.context;
  made.norm_epsilon = c.norm_epsilon;
  made.rope_base = c.rope_base;
  if (!m.rope_factors.empty()) {
    made.rope_factors = floats_of(m.rope_factors);
  }
  made.output_norm = floats_of(m.output_norm);
  made.embedding.resize(c.vocabulary);
  runner.run(runner.width(), [&](std::size_t part) {
    std::vector<float> row(c.dim);
    const slice mine = slice_of(c.vocabulary, 1, part, runner.width());
    for (std::size_t id = mine.first; id < mine.last; ++id) {
      embed_row(m.token_embedding, static_cast<std::uint32_t>(id), row.data());
      made.embedding[id] = embedding_row_digest(row);
    }
  });
  OVIR_ASSIGN(made.head, prepare_matrix(m.output, "output.weight", secrets));
  made.layers.resize(c.layers);
  std::vector<result<void>> done(c.layers);
  runner.run(c.layers, [&](std::size_t l) {
    const layer_weights& from = m.layers[l];
    prepared_layer& to = made.layers[l];
    to.attention_norm = floats_of(from.attn_norm);
    to.feed_forward_norm = floats_of(from.ffn_norm);
    const weight* const weights[] = {&from.attn_q,   &from.attn_k, &from.attn_v,  &from.attn_output,
                                     &from.ffn_gate, &from.ffn_up, &from.ffn_down};
    constexpr std::string_view names[] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                          "ffn_gate", "ffn_up", "ffn_down"};
    for (std::size_t i = 0; i < layer_matrices && done[l]; ++i) {
      auto one = prepare_matrix(*weights[i], fmt::format("blk.{}.{}.weight", l, names[i]), secrets);
      if (one) {
        to.matrices[static_cast<std::size_t>(layer_order[i])] = std::move(*one);
      } else {
        done[l] = one.error();
      }
    }
  });
  for (const result<void>& one : done) {
    OVIR_TRY(one);
  }
  return made;
}

model_config config_of(const prepared_model& m) {
  model_config c;
  c.architecture = "llama";
  c.layers = m.layer_count;
  c.dim = m.dim;
  c.ffn_dim = m.feed_forward;
  c.heads = m.heads;
  c.kv_heads = m.kv_heads;
  c.head_dim = m.head_dim;
  c.rope_dim = m.rope_dim;
  c.vocabulary = m.vocabulary;
  c.context = m.context;
  c.norm_epsilon = m.norm_epsilon;
  c.rope_base = m.rope_base;
  return c;
}

weighed_inputs::weighed_inputs(const quantized_batch& x, std::span<const std::uint64_t> weigh)
    : x_(&x) {
  OVIR_CHECK(weigh.size() >= x.tokens, weigh.size(), x.tokens);
  const std::size_t groups = (x.tokens + weighed_tokens_max - 1) / weighed_tokens_max;
  sums_.resize(groups * x.cols);
  const std::size_t blocks = x.cols / 32;
  const std::size_t per_scale = x.scale_block() / 32;
  std::vector<std::int32_t> scales(std::size_t{x.tokens} * blocks);
  for (std::size_t t = 0; t < x.tokens; ++t) {
    weights_.push_back(
        static_cast<std::int64_t>(weigh[t] & ((std::uint64_t{1} << token_weight_bits) - 1)));
    std::int32_t* to = scales.data() + t * blocks;
    const std::int32_t* const m = x.m_row(t);
    for (std::size_t j = 0, scale = 0; j < blocks; ++scale) {
      const std::int32_t k = x.k_row(t)[scale];
      for (const std::size_t end = j + per_scale; j < end; ++j) {
        to[j] = m[j] * k;
      }
    }
  }
  for (std::size_t first = 0; first < x.tokens; first += weighed_tokens_max) {
    field_sums_here().weigh_inputs(x.q_row(first), scales.data() + first * blocks, x.cols,
                                   std::min<std::size_t>(weighed_tokens_max, x.tokens - first),
                                   weights_.data() + first,
                                   sums_.data() + first / weighed_tokens_max * x.cols);
  }
}

product_fault check_product(const prepared_matrix& m, const weighed_inputs& x,
                            std::span<const std::int64_t> sums, std::span<float> rounded) {
  const quantized_batch& inputs = x.inputs();
  OVIR_CHECK(inputs.form == form_of(m) && inputs.cols == m.cols, inputs.cols, m.cols);
  OVIR_CHECK(sums.size() == std::size_t{inputs.tokens} * m.rows, sums.size(), m.rows);
  OVIR_CHECK(rounded.empty() || rounded.size() == sums.size(), rounded.size());
  std::vector<std::int64_t> total(m.rows);
  std::array<float, weighed_tokens_max> powers{};
  for (std::size_t first = 0; first < inputs.tokens; first += weighed_tokens_max) {
    const std::size_t count = std::min<std::size_t>(weighed_tokens_max, inputs.tokens - first);
    for (std::size_t t = 0; t < count; ++t) {
      powers[t] = inputs.u[first + t] * 0x1p-24F;
    }
    if (!field_sums_here().add_sums(
            {.s = sums.data() + first * m.rows,
             .stride = m.rows,
             .n = m.rows,
             .tokens = count,
             .bounds = m.bounds.data(),
             .weights = x.weights().data() + first,
             .rounded = rounded.empty() ? nullptr : rounded.data() + first * m.rows,
             .powers = powers.data()},
            total.data())) {
      return product_fault::out_of_bounds;
    }
    field_total claimed;
    claimed.add(m.secret.data(), total.data(), m.rows);
    field_total expected;
    expected.add(m.product.data(), x.group(first / weighed_tokens_max).data(), m.cols);
    if (claimed.value != expected.value) {
      return product_fault::not_the_product;
    }
  }
  return product_fault::none;
}

void round_sums(std::span<const std::int64_t> sums, const quantized_batch& x,
                std::span<float> rounded, parallel_runner& runner) {
  OVIR_CHECK(sums.size() == rounded.size() && sums.size() % x.tokens == 0, sums.size());
  const std::size_t width = sums.size() / x.tokens;
  runner.run(x.tokens, [&](std::size_t t) {
    field_sums_here().round(sums.data() + t * width, width, x.u[t] * 0x1p-24F,
                            rounded.data() + t * width);
  });
}

void integer_product(const weight& w, const quantized_batch& x, std::span<std::int64_t> sums,
                     parallel_runner& runner) {
  OVIR_CHECK(!w.wide && form_for(w.type) == x.form && sums.size() == std::size_t{x.tokens} * w.rows,
             sums.size());
  const std::size_t per_scale = x.scale_block() / 32;
  const std::size_t parts = std::min<std::size_t>(runner.width(), w.rows);
  runner.run(parts, [&](std::size_t part) {
    std::vector<std::int64_t> row(w.cols);
    const slice mine = slice_of(w.rows, 1, part, parts);
    for (std::size_t r = mine.first; r < mine.last; ++r) {
      integer_row(w, static_cast<std::uint32_t>(r), row);
      for (std::size_t t = 0; t < x.tokens; ++t) {
        std::int64_t total = 0;
        for (std::size_t j = 0; j < w.cols / 32; ++j) {
          std::int64_t dot = 0; // 32 products of 53 and 7 bits
          for (std::size_t i = j * 32; i < j * 32 + 32; ++i) {
            dot += row[i] * x.q_row(t)[i];
          }
          total += dot * x.m_row(t)[j] * x.k_row(t)[j / per_scale];
        }
        sums[t * w.rows + r] = total;
      }
    }
  });
}

} // namespace ovir::compute
