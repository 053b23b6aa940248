#include "compute/forward/dense_forward.hpp"

#include "compute/base/exact_math.hpp"
#include "compute/kernels/reference/plain_blocks.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ovir::compute {

namespace {

/// Rows that are brought to binary32 at a time: enough for a library to be fast, little memory.
constexpr std::uint32_t rows_at_once = 2'048;

void normalize(const float* x, const weight& norm, std::uint32_t dim, float epsilon, float* out) {
  double squares = 0;
  for (std::uint32_t i = 0; i < dim; ++i) {
    squares += double{x[i]} * double{x[i]};
  }
  const auto scale = static_cast<float>(1.0 / std::sqrt(squares / dim + double{epsilon}));
  for (std::uint32_t i = 0; i < dim; ++i) {
    out[i] = x[i] * scale * float_element(norm.type, norm.data, i);
  }
}

void softmax(float* scores, std::uint32_t visible, std::uint32_t all) {
  const float most = *std::max_element(scores, scores + visible);
  float sum = 0;
  for (std::uint32_t p = 0; p < visible; ++p) {
    scores[p] = exact_exp(scores[p] - most);
    sum += scores[p];
  }
  for (std::uint32_t p = 0; p < visible; ++p) {
    scores[p] /= sum;
  }
  std::fill(scores + visible, scores + all, 0.0F);
}

void rotate(float* x, const float* cos_sin, std::uint32_t pairs) {
  for (std::uint32_t i = 0; i < pairs; ++i) {
    const float a = x[2 * i];
    const float b = x[2 * i + 1];
    x[2 * i] = a * cos_sin[2 * i] - b * cos_sin[2 * i + 1];
    x[2 * i + 1] = a * cos_sin[2 * i + 1] + b * cos_sin[2 * i];
  }
}

} // namespace

dense_sequence::dense_sequence(const model& m, float_product product, std::uint32_t positions)
    : model_(&m), product_(std::move(product)), capacity_(positions),
      keys_(m.config.layers, std::vector<float>(std::size_t{positions} * m.config.kv_dim())),
      values_(keys_) {
  std::vector<float> factors;
  if (const weight& w = m.rope_factors; !w.empty()) {
    factors.resize(w.cols);
    embed_row(w, 0, factors.data());
  }
  rope_ = rope_table{m.config, factors};
  rope_.grow(positions);
}

result<dense_sequence> dense_sequence::make(const model& m, float_product product,
                                            std::uint32_t positions) {
  OVIR_TRY(require_plain_blocks(m, "floats by a library (the profile \"fast\")"));
  if (positions == 0 || positions > m.config.context) {
    return fail(errc::over_limit, "{} positions do not fit the model's context of {}", positions,
                m.config.context);
  }
  return dense_sequence{m, std::move(product), positions};
}

void dense_sequence::multiply(const weight& w, const float* x, std::uint32_t tokens,
                              std::vector<float>& y) {
  y.resize(std::size_t{tokens} * w.rows);
  matrix_.resize(std::size_t{std::min(rows_at_once, w.rows)} * w.cols);
  for (std::uint32_t first = 0; first < w.rows; first += rows_at_once) {
    const std::uint32_t count = std::min(rows_at_once, w.rows - first);
    for (std::uint32_t r = 0; r < count; ++r) {
      embed_row(w, first + r, matrix_.data() + std::size_t{r} * w.cols);
    }
    product_({tokens, count, w.cols, x, w.cols, matrix_.data(), w.cols, y.data() + first, w.rows});
  }
}

void dense_sequence::attend(layer_index layer, std::uint32_t tokens) {
  const model_config& c = model_->config;
  const std::uint32_t all = length_ + tokens;
  const float scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
  heads_.resize(std::size_t{tokens} * c.q_dim());
  scores_.resize(std::size_t{tokens} * all);
  for (std::uint32_t h = 0; h < c.heads; ++h) {
    const std::size_t at = std::size_t{h} * c.head_dim;
    const std::size_t kv = std::size_t{h / (c.heads / c.kv_heads)} * c.head_dim;
    product_({tokens, all, c.head_dim, q_.data() + at, c.q_dim(), keys_[layer].data() + kv,
              c.kv_dim(), scores_.data(), all});
    for (std::uint32_t t = 0; t < tokens; ++t) {
      float* const row = scores_.data() + std::size_t{t} * all;
      std::transform(row, row + all, row, [scale](float s) { return s * scale; });
      softmax(row, length_ + t + 1, all);
    }
    product_({tokens, c.head_dim, all, scores_.data(), all, values_[layer].data() + kv * capacity_,
              capacity_, heads_.data() + at, c.q_dim()});
  }
}

void dense_sequence::run_layer(layer_index layer, std::uint32_t tokens, std::vector<float>& x) {
  const model_config& c = model_->config;
  const layer_weights& w = model_->layers[layer];
  const auto normalize_rows = [&](const weight& norm) {
    normal_.resize(std::size_t{tokens} * c.dim);
    for (std::size_t t = 0; t < tokens; ++t) {
      normalize(x.data() + t * c.dim, norm, c.dim, c.norm_epsilon, normal_.data() + t * c.dim);
    }
  };
  normalize_rows(w.attn_norm);
  multiply(w.attn_q, normal_.data(), tokens, q_);
  multiply(w.attn_k, normal_.data(), tokens, k_);
  multiply(w.attn_v, normal_.data(), tokens, v_);
  for (std::size_t t = 0; t < tokens; ++t) {
    const position p = length_ + static_cast<position>(t);
    for (std::uint32_t h = 0; h < c.heads; ++h) {
      rotate(q_.data() + t * c.q_dim() + std::size_t{h} * c.head_dim, rope_.row(p), c.rope_dim / 2);
    }
    for (std::uint32_t h = 0; h < c.kv_heads; ++h) {
      rotate(k_.data() + t * c.kv_dim() + std::size_t{h} * c.head_dim, rope_.row(p),
             c.rope_dim / 2);
    }
    for (std::uint32_t i = 0; i < c.kv_dim(); ++i) {
      keys_[layer][std::size_t{p} * c.kv_dim() + i] = k_[t * c.kv_dim() + i];
      values_[layer][std::size_t{i} * capacity_ + p] = v_[t * c.kv_dim() + i];
    }
  }
  attend(layer, tokens);
  multiply(w.attn_output, heads_.data(), tokens, sum_);
  std::transform(x.begin(), x.end(), sum_.begin(), x.begin(), std::plus<>{});
  normalize_rows(w.ffn_norm);
  multiply(w.ffn_gate, normal_.data(), tokens, gate_);
  multiply(w.ffn_up, normal_.data(), tokens, up_);
  for (std::size_t i = 0; i < gate_.size(); ++i) {
    gate_[i] = exact_silu(gate_[i]) * up_[i];
  }
  multiply(w.ffn_down, gate_.data(), tokens, sum_);
  std::transform(x.begin(), x.end(), sum_.begin(), x.begin(), std::plus<>{});
}

result<void> dense_sequence::append(std::span<const token_id> tokens,
                                    std::vector<std::vector<float>>& boundaries,
                                    std::vector<float>& logits) {
  const model_config& c = model_->config;
  const auto count = static_cast<std::uint32_t>(tokens.size());
  if (tokens.empty() || tokens.size() > capacity_ - length_) {
    return fail(errc::malformed, "{} tokens at position {} of {}", tokens.size(), length_,
                capacity_);
  }
  std::vector<float> x(std::size_t{count} * c.dim);
  for (std::size_t t = 0; t < count; ++t) {
    if (tokens[t] >= c.vocabulary) {
      return fail(errc::malformed, "token {} is outside the vocabulary of {}", tokens[t],
                  c.vocabulary);
    }
    embed_row(model_->token_embedding, tokens[t], x.data() + t * c.dim);
  }
  boundaries.resize(c.layers);
  for (layer_index l = 0; l < c.layers; ++l) {
    run_layer(l, count, x);
    if (!std::all_of(x.begin(), x.end(), [](float v) { return std::isfinite(v); })) {
      return fail(errc::nonfinite, "a NaN or infinity arose in layer {}", l);
    }
    boundaries[l].insert(boundaries[l].end(), x.begin(), x.end());
  }
  length_ += count;
  std::vector<float> last(c.dim);
  normalize(x.data() + std::size_t{count - 1} * c.dim, model_->output_norm, c.dim, c.norm_epsilon,
            last.data());
  multiply(model_->output, last.data(), 1, logits);
  return {};
}

double relative_distance(std::span<const float> a, std::span<const float> b) {
  OVIR_CHECK(a.size() == b.size(), a.size(), b.size());
  double apart = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = double{a[i]} - double{b[i]};
    apart += d * d;
    size += double{b[i]} * double{b[i]};
  }
  if (apart == 0) {
    return 0;
  }
  const double distance = std::sqrt(apart / size);
  return std::isfinite(distance) ? distance : std::numeric_limits<double>::infinity();
}

} // namespace ovir::compute
